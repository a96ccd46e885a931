"""Eigenvalues of small symmetric matrices, the same bits on every machine.

Cyclic Jacobi in a fixed order, in scalar IEEE arithmetic: LAPACK's answer depends on the library
and the processor, and its signs are anyone's.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: Converges quadratically: 3 x 3 needs four or five sweeps.
SWEEPS = 50


def eigen(matrix: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues (C,), falling, and eigenvectors as columns (C, C), of a symmetric (C, C) matrix.

    The component of largest magnitude of each vector (the first of equals) is positive.
    Source: Golub and Van Loan, Matrix Computations, section 8.5 (cyclic by row).
    """
    a: list[list[float]] = matrix.tolist()
    size = len(a)
    v = np.eye(size).tolist()
    for _ in range(SWEEPS):
        if all(a[p][q] == 0.0 for p in range(size) for q in range(p + 1, size)):
            break
        for p in range(size):
            for q in range(p + 1, size):
                _rotate(a, v, p, q)
    order = sorted(range(size), key=lambda i: -a[i][i])
    vectors = np.array(v)[:, order]
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.where(vectors[largest, np.arange(size)] < 0, -1.0, 1.0)
    return np.array([a[i][i] for i in order]), vectors * signs


def _rotate(a: list[list[float]], v: list[list[float]], p: int, q: int) -> None:
    """Turn the plane (p, q) so that a[p][q] becomes zero."""
    off = a[p][q]
    if all(abs(a[i][i]) + abs(off) == abs(a[i][i]) for i in (p, q)):  # too small to matter
        a[p][q] = a[q][p] = 0.0
        return
    theta = (a[q][q] - a[p][p]) / (2.0 * off)
    t = math.copysign(1.0, theta) / (abs(theta) + math.sqrt(theta * theta + 1.0))
    c = 1.0 / math.sqrt(t * t + 1.0)
    s = t * c
    for row in a:
        row[p], row[q] = c * row[p] - s * row[q], s * row[p] + c * row[q]
    a[p], a[q] = (
        [c * x - s * y for x, y in zip(a[p], a[q], strict=True)],
        [s * x + c * y for x, y in zip(a[p], a[q], strict=True)],
    )
    for row in v:
        row[p], row[q] = c * row[p] - s * row[q], s * row[p] + c * row[q]
    a[p][q] = a[q][p] = 0.0
