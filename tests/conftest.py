"""Settings of the whole test session."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Tests measure and compare on the host whatever accelerator the machine has.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compile a lot and run little. Without LLVM's passes a compilation takes a third
# less, without MLIR's fusion emitters it takes a third of what is left.
# Another XLA_FLAGS, an empty one too, takes the place of these.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1",
)
# The gradients of PyTorch's convolutions (2.13.0) write past their memory on some AMD
# processors, here and in the release alone; not with the plainest instructions.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "SSE41")
# Compiled programs outlive the run, so the second run of the suite is much faster; and
# processes that tests start find what was compiled here.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(Path(__file__).parent.parent / ".pytest_cache" / "jax"),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import jax
import pytest

MAPS = Path("/proc/self/maps")  # of Linux
# Every compiled program takes dozens of a process's memory maps, of which Linux grants
# 65,530: beyond them the next allocation aborts the process.
MANY_MAPS = 20_000


def pytest_configure(config: pytest.Config) -> None:
    # float32 unless a test asks for jax.enable_x64: what users get by default.
    jax.config.update("jax_enable_x64", False)
    # Old-style uint32 keys are an error: keys come from jax.random.key.
    jax.config.update("jax_legacy_prng_key", "error")
    # Where in our code an operation comes from costs a tenth of compiling it.
    jax.config.update("jax_traceback_in_locations_limit", 0)
    jax.config.update("jax_include_full_tracebacks_in_locations", False)
    # Our own warnings are errors; those of other packages are theirs.
    config.addinivalue_line("filterwarnings", r"error:::twohand_jax\b")


@pytest.fixture(scope="module", autouse=True)
def release_programs() -> Iterator[None]:
    """Forget what was compiled before there is too much of it."""
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MANY_MAPS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(params=["with_jit", "without_jit"])
def variant(request: pytest.FixtureRequest) -> Callable[..., Callable[..., Any]]:
    """``jax.jit``, and then what leaves a function as it is: laws hold for both.

    As ``chex.variants``, which pytest's own fixtures and parameters do not go with.
    """
    if request.param == "with_jit":
        return jax.jit
    return lambda function, **_: function
