"""The backend is one the machine has; the machine is described from what it says of itself."""

import platform as system

import numpy
import pytest

from scripts.causal.campaign.platform import choose_backend, choose_platform
from scripts.causal.files import InputError

SEVERAL = ["torch-cuda-bfloat16", "torch-cpu-bfloat16", "torch-cpu-float32", "mlx-cpu-float32"]


@pytest.mark.parametrize(
    ("wanted", "backend"),
    [
        ("auto", "torch-cuda-bfloat16"),
        ("torch", "torch-cuda-bfloat16"),
        ("cuda", "torch-cuda-bfloat16"),
        ("cpu", "torch-cpu-bfloat16"),
        ("mlx", "mlx-cpu-float32"),
        ("torch-cpu-float32", "torch-cpu-float32"),
    ],
)
def test_the_best_backend_of_the_kind_is_taken(toy, monkeypatch, wanted, backend):
    monkeypatch.setattr(toy, "backends", lambda: SEVERAL)
    assert choose_backend(toy, wanted) == backend


def test_a_backend_that_is_not_there_is_refused(toy):
    with pytest.raises(InputError, match=r"no backend 'cuda' .*there is numpy-cpu-float64"):
        choose_backend(toy, "cuda")


def test_the_platform_says_where_the_runs_were_computed(toy):
    place = choose_platform(toy, "cpu", "tiny")
    assert place.backend == "numpy-cpu-float64"
    assert place.data == "toy-data"
    assert f"numpy {numpy.__version__}" in place.machine
    assert f"Python {system.python_version()}" in place.machine
    assert choose_platform(toy, data="elsewhere").data == "elsewhere"
