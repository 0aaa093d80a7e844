"""The papers' real networks, each with a width multiplier: parameters live outside, as for every network here."""

from precipice.problems.architectures.mixer import Mixer as Mixer
from precipice.problems.architectures.mixer import mixer_s16 as mixer_s16
from precipice.problems.architectures.norms import batch_norm as batch_norm
from precipice.problems.architectures.norms import layer_norm as layer_norm
from precipice.problems.architectures.norms import running as running
from precipice.problems.architectures.resnet import ResNet as ResNet
from precipice.problems.architectures.resnet import resnet18 as resnet18
from precipice.problems.architectures.resnet import resnet50 as resnet50
from precipice.problems.architectures.vision_transformer import VisionTransformer as VisionTransformer
from precipice.problems.architectures.vision_transformer import vit_s16 as vit_s16
