"""What several tests of the GPT run on."""

import pytest


@pytest.fixture
def mlx_engine():
    """The MLX engine, uncompiled, which gives the same losses."""
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    from trainers.gpt.engine_mlx import MlxEngine

    mx.disable_compile()
    yield MlxEngine
    mx.enable_compile()
