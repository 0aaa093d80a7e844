"""Curvature: matrix-free operators of a function at a point (`operator.py`), their spectra, traces and densities."""

from precipice.curvature.chunks import Chunks as Chunks
from precipice.curvature.chunks import chunked as chunked
from precipice.curvature.density import Density as Density
from precipice.curvature.density import density as density
from precipice.curvature.eigs import Eigs as Eigs
from precipice.curvature.eigs import eigs as eigs
from precipice.curvature.gauss_newton import GaussNewton as GaussNewton
from precipice.curvature.hessian import Hessian as Hessian
from precipice.curvature.jacobian import Jacobian as Jacobian
from precipice.curvature.kernel_matrix import KernelSpectrum as KernelSpectrum
from precipice.curvature.kernel_matrix import kernel_matrix as kernel_matrix
from precipice.curvature.kernel_matrix import kernel_spectrum as kernel_spectrum
from precipice.curvature.kernel_matrix import weighted_kernel as weighted_kernel
from precipice.curvature.model_curvature import ModelCurvature as ModelCurvature
from precipice.curvature.noise_trace import gram_trace as gram_trace
from precipice.curvature.noise_trace import gram_trace_bartlett as gram_trace_bartlett
from precipice.curvature.noise_trace import gram_trace_hutchinson as gram_trace_hutchinson
from precipice.curvature.ntk import NTK as NTK
from precipice.curvature.ntk import gram as gram
from precipice.curvature.operator import AbstractOperator as AbstractOperator
from precipice.curvature.third import third_derivative as third_derivative
from precipice.curvature.trace import Estimate as Estimate
from precipice.curvature.trace import trace as trace
from precipice.curvature.tridiagonal import TopEigenvalue as TopEigenvalue
from precipice.curvature.tridiagonal import top_eigenvalue as top_eigenvalue
