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
from precipice.curvature.ntk import NTK as NTK
from precipice.curvature.ntk import gram as gram
from precipice.curvature.operator import AbstractOperator as AbstractOperator
from precipice.curvature.third import third_derivative as third_derivative
from precipice.curvature.trace import Estimate as Estimate
from precipice.curvature.trace import trace as trace
from precipice.curvature.tridiagonal import TopEigenvalue as TopEigenvalue
from precipice.curvature.tridiagonal import top_eigenvalue as top_eigenvalue
