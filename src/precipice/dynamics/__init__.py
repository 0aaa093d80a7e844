"""Dynamics: processes (`process.py`) and the loops that watch them.

`simulate` compiles a whole run with its probes; `train` drives a long one from the host, with checkpoints.
"""

from precipice.dynamics.basins import Basins as Basins
from precipice.dynamics.basins import basins as basins
from precipice.dynamics.bifurcation import Attractor as Attractor
from precipice.dynamics.bifurcation import attractor as attractor
from precipice.dynamics.bifurcation import bifurcation as bifurcation
from precipice.dynamics.cubic_map import CubicMap as CubicMap
from precipice.dynamics.descent import Descent as Descent
from precipice.dynamics.descent import Optimiser as Optimiser
from precipice.dynamics.descent import gradient_descent as gradient_descent
from precipice.dynamics.flow import Flow as Flow
from precipice.dynamics.flow import flow as flow
from precipice.dynamics.function_space import FunctionSpaceDescent as FunctionSpaceDescent
from precipice.dynamics.function_space import OutputJacobian as OutputJacobian
from precipice.dynamics.function_space import quadratic_move as quadratic_move
from precipice.dynamics.linear_regression import LinearSgd as LinearSgd
from precipice.dynamics.linear_regression import OutputVelocity as OutputVelocity
from precipice.dynamics.mean_model import MeanModelMap as MeanModelMap
from precipice.dynamics.minibatch import MinibatchDescent as MinibatchDescent
from precipice.dynamics.minibatch import draw_batch as draw_batch
from precipice.dynamics.minibatch_sweep import MinibatchSweep as MinibatchSweep
from precipice.dynamics.minibatch_sweep import SweepMemory as SweepMemory
from precipice.dynamics.noisy import GradientNoise as GradientNoise
from precipice.dynamics.noisy import LabelNoise as LabelNoise
from precipice.dynamics.portrait import Field as Field
from precipice.dynamics.portrait import field as field
from precipice.dynamics.process import AbstractProcess as AbstractProcess
from precipice.dynamics.process import State as State
from precipice.dynamics.progress import bar as bar
from precipice.dynamics.progress import quiet as quiet
from precipice.dynamics.quadratic import LowOrderMap as LowOrderMap
from precipice.dynamics.quadratic import Modes as Modes
from precipice.dynamics.quadratic import Moments as Moments
from precipice.dynamics.quadratic import QuadraticModes as QuadraticModes
from precipice.dynamics.quadratic import QuadraticMoments as QuadraticMoments
from precipice.dynamics.quadratic import TwoEigenvalueMap as TwoEigenvalueMap
from precipice.dynamics.quadratic import low_order_rate as low_order_rate
from precipice.dynamics.quadratic import moments_of as moments_of
from precipice.dynamics.quadratic import rescaled_modes as rescaled_modes
from precipice.dynamics.self_stabilization import SelfStabilization as SelfStabilization
from precipice.dynamics.settle import EntryBelow as EntryBelow
from precipice.dynamics.settle import LossBelow as LossBelow
from precipice.dynamics.settle import Settled as Settled
from precipice.dynamics.settle import settle as settle
from precipice.dynamics.simulate import Trajectory as Trajectory
from precipice.dynamics.simulate import simulate as simulate
from precipice.dynamics.stops import accuracy_at_least as accuracy_at_least
from precipice.dynamics.stops import at_least as at_least
from precipice.dynamics.stops import loss_at_most as loss_at_most
from precipice.dynamics.train import Training as Training
from precipice.dynamics.train import train as train
