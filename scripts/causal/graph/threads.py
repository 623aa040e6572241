"""One thread for small matrices: more of them wait for each other longer than they work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Do the linear algebra inside on one thread; also as a decorator.

    On two busy cores, thousands of factorizations of 150 columns take 20 times as long on two
    threads. Sums also come out the same whatever the machine.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        yield
