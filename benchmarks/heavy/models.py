"""Makes the models with Keras in a process of its own: `python -m benchmarks.heavy.models FOLDER`.

A window is a week of minutes, 10,080 steps of 8 values. The model reads it as seven days: a convolutional LSTM over the
days, 32 filters of width 3 over the minutes of each, the mean over the minutes, and a dense layer of 8. It has 15,752
weights. `one` is one model, `ten` an ensemble: ten models whose outputs are averaged, in one SavedModel. `member-<i>` are the ten
by themselves. Weights are random, by seed; windows too. `expected.npz` holds windows and what `predict` makes of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

DAYS, MINUTES, VALUES = 7, 1440, 8
STEPS = DAYS * MINUTES
WIDTH = STEPS * VALUES
"""Numbers in a window: 80,640."""
FILTERS, KERNEL, OUTPUTS = 32, 3, 8
MEMBERS = 10
WINDOWS = 4
_SEED = 20_170_801
_FOLDER = "SLUICE_BENCHMARKS_HEAVY_MODELS"
"""Variable of child processes: where the models are. MLServer's environment does not have what finds the place."""


def made() -> Path:
    """The folder with the models; makes them the first time, which takes a minute.

    Raises:
        RuntimeError: Keras could not make them; with its last words.
    """
    if _FOLDER in os.environ:
        return Path(os.environ[_FOLDER])
    from sluice.stack.caches import cache_folder

    folder = cache_folder() / "benchmarks" / "heavy" / "models"
    if not (folder / "expected.npz").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
        command = [sys.executable, "-m", "benchmarks.heavy.models", str(folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the models could not be made: {done.stderr[-2_000:]}")
    return folder


def place() -> dict[str, str]:
    """Variables for a child process that needs the models."""
    return {_FOLDER: str(made())}


def window(index: int) -> np.ndarray:
    """Window `index` of `WINDOWS`, float32 (10080, 8)."""
    with np.load(made() / "expected.npz") as file:
        return np.asarray(file["windows"][index % WINDOWS])


def expected(name: str) -> np.ndarray:
    """What Keras `predict` makes of all windows, one at a time, float32 (WINDOWS, 8)."""
    with np.load(made() / "expected.npz") as file:
        return np.asarray(file[name])


def multiplications(members: int) -> int:
    """Multiply-adds of one window that cannot be avoided: the state before the first day is zero, so it needs none."""
    of_input = STEPS * KERNEL * VALUES * 4 * FILTERS
    of_state = (DAYS - 1) * MINUTES * KERNEL * FILTERS * 4 * FILTERS
    return members * (of_input + of_state)


def _member(keras, seed: int):  # type: ignore[no-untyped-def]  # Keras has no types
    layers = keras.layers
    days = keras.Input((DAYS, MINUTES, VALUES))
    state = layers.ConvLSTM1D(FILTERS, KERNEL, padding="same")(days)
    model = keras.Model(days, layers.Dense(OUTPUTS)(layers.GlobalAveragePooling1D()(state)))
    random = np.random.default_rng(seed)
    weights = [weight + random.normal(0, 0.1, weight.shape).astype(np.float32) for weight in model.get_weights()]
    model.set_weights(weights)
    return model


def _of_window(keras, members):  # type: ignore[no-untyped-def]
    whole = keras.Input((STEPS, VALUES))
    days = keras.layers.Reshape((DAYS, MINUTES, VALUES))(whole)
    outputs = [member(days) for member in members]
    return keras.Model(whole, keras.layers.Average()(outputs) if len(outputs) > 1 else outputs[0])


def _make(folder: Path) -> None:
    import keras

    keras.utils.set_random_seed(_SEED)
    members = [_member(keras, _SEED + index) for index in range(MEMBERS)]
    windows = np.random.default_rng(_SEED).normal(0, 1, (WINDOWS, STEPS, VALUES)).astype(np.float32)
    answers = {}
    named = {"one": members[:1], "ten": members, **{f"member-{i}": [each] for i, each in enumerate(members)}}
    for name, some in named.items():
        model = _of_window(keras, some)
        model.export(str(folder / name), verbose=False)
        model.save(folder / f"{name}.keras")
        answers[name] = np.concatenate([model.predict(each[None], verbose=0) for each in windows])
        with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((folder / name).rglob("*")):
                archive.write(path, path.relative_to(folder / name))
    np.savez(folder / "expected.npz", windows=windows, **answers)


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
