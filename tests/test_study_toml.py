"""Study files: what they declare, whose code they may name, and every error by its words."""

import subprocess
import sys

import numpy as np
import pytest

from precipice._checks import InputError
from precipice.results import Variable
from precipice.studies import load, run_local
from precipice.studies.stores import create

MODULE = """
import pathlib
pathlib.Path(__file__).with_name("ran").touch()

CLAIMS = []

def train(key, *, lr, width, noise=0.0, scale=1.0):
    return {"final_loss": lr * width * scale, "margin": lr}

def probe(result):
    return result
"""

WHOLE = """
name = "edges"
run = "user_of_toml:train"
results = ["final_loss", "margin"]
probes = ["user_of_toml:probe"]
claims = "user_of_toml:CLAIMS"
version = 2
seed = 7
key_axes = ["seed"]
precision = "float32"
traced = false

[axes]
lr = { log = [0.01, 1.0], num = 3 }
width = { values = [16, 64], splits = true }
noise = { normal = [0.0, 1.0], num = 2, seed = 5 }
seed = { count = 4 }

[settings]
scale = 2.5

[variables.margin]
units = "1"
meaning = "Smallest margin over the examples."
reference = "definition"
"""

SMALL = """
name = "small"
run = "user_of_toml:train"
results = ["final_loss"]
axes.lr = [0.1, 0.2]
axes.width = [1.0]
"""


@pytest.fixture
def file(tmp_path):
    def write(text, name="study.toml"):
        (tmp_path / "user_of_toml.py").write_text(MODULE)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    yield write
    sys.modules.pop("user_of_toml", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]


def test_a_file_declares_what_python_does(file):
    study = load(file(WHOLE), trust=True)
    assert (study.name, study.version, study.seed, study.precision, study.traced) == ("edges", 2, 7, "float32", False)
    assert [axis.name for axis in study.axes] == ["lr", "width", "noise", "seed"]
    np.testing.assert_allclose(study.axes[0].values, [0.01, 0.1, 1.0], rtol=1e-12)
    assert (study.axes[1].values, study.axes[1].splits) == ((16, 64), True)
    assert study.axes[2].values == tuple(np.random.default_rng(5).normal(0.0, 1.0, 2).tolist())
    assert study.axes[3].values == (0, 1, 2, 3)
    assert (dict(study.settings), study.keyed) == ({"scale": 2.5}, ("seed",))
    assert study.variables[0] == "final_loss"
    assert study.variables[1] == Variable("margin", (), "1", "Smallest margin over the examples.", "definition")
    assert study.source == "user_of_toml:train"
    assert [probe.__name__ for probe in study.probes] == ["probe"]


def test_a_study_of_a_file_runs(file, tmp_path):
    study = load(file(SMALL), trust=True)
    store = create(study, tmp_path / "s", {"lr": 2, "width": 1})
    run_local(study, store)
    np.testing.assert_array_equal(store.dataset()["final_loss"].values, [[0.1], [0.2]])


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("{ linear = [0.0, 1.0], num = 3 }", [0.0, 0.5, 1.0]),
        ("{ uniform = [0.0, 1.0], num = 3, seed = 1 }", np.random.default_rng(1).uniform(0, 1, 3)),
        ("{ log_uniform = [1.0, 9.0], num = 2, seed = 1 }", 9 ** np.random.default_rng(1).uniform(0, 1, 2)),
        ("{ values = [1, 2] }", [1, 2]),
        ("[0.5, 2]", [0.5, 2.0]),
    ],
)
def test_every_kind_of_axis(file, table, values):
    study = load(file(SMALL.replace("[0.1, 0.2]", table)), trust=True)
    np.testing.assert_allclose(study.axes[0].values, values, rtol=1e-12)


# --- trust


@pytest.mark.parametrize("entry", ["run", "probes", "claims"])
def test_code_outside_precipice_is_not_imported_without_trust(file, tmp_path, entry):
    ours = '"precipice.measures:sharpness"'
    lines = {"run": ours, "probes": "[]", "claims": '"precipice.papers.registry:FIGURES"'}
    lines[entry] = {
        "run": '"user_of_toml:train"',
        "probes": '["user_of_toml:probe"]',
        "claims": '"user_of_toml:CLAIMS"',
    }[entry]
    path = file(
        'name = "a"\nresults = ["final_loss"]\n'
        + "".join(f"{k} = {v}\n" for k, v in lines.items())
        + "[axes]\nlr = [0.1]\n"
    )
    with pytest.raises(InputError, match=f"'{entry}' in 'study.toml' must lie in precipice unless the file is trusted"):
        load(path)
    assert not (tmp_path / "ran").exists()
    assert "user_of_toml" not in sys.modules
    assert str(tmp_path) not in sys.path


def test_what_precipice_itself_imports_does_not_count_as_its_own(file):
    path = file(SMALL.replace("user_of_toml:train", "precipice.results.cell_files:ThreadPoolExecutor"))
    with pytest.raises(InputError, match=r"must lie in precipice unless .*; got 'concurrent.futures.thread:ThreadPool"):
        load(path)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch ran')",
        "os:system('touch ran')",
        "lambda: 0",
        "os.system",
        ":",
        "a:b:c",
        "../x:y",
        "a.:b",
    ],
)
def test_nothing_is_evaluated(file, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    for trust in (False, True):
        with pytest.raises(InputError, match=r"'run' in 'study.toml' must be module:function; got"):
            load(file(SMALL.replace("user_of_toml:train", text)), trust=trust)
    assert not (tmp_path / "ran").exists()


def test_a_store_is_read_without_its_code(file, tmp_path):
    study = load(file(SMALL), trust=True)
    run_local(study, create(study, tmp_path / "s", {"lr": 2, "width": 1}))
    (tmp_path / "ran").unlink()
    code = "import sys; from precipice import results; print(results.open(sys.argv[1])['final_loss'].values.sum())"
    code += "; assert 'user_of_toml' not in sys.modules and 'jax' not in sys.modules"
    command = [sys.executable, "-c", code, str(tmp_path / "s")]
    assert float(subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout) == pytest.approx(0.3)
    assert not (tmp_path / "ran").exists()


# --- errors


def changed(old, new):
    assert old in SMALL
    return SMALL.replace(old, new)


BAD = [
    ("name = [", "Study file '.*study.toml' must be TOML; "),
    (changed("name =", "nmae ="), "entry of 'study.toml' 'nmae' is unknown; did you mean name"),
    (changed('name = "small"', ""), "'study.toml' must have the entry 'name'; it has axes, results, run"),
    (changed('"small"', "3"), "'name' in 'study.toml' must be text; got 3"),
    (changed('["final_loss"]', '"final_loss"'), "'results' in 'study.toml' must be a list; got 'final_loss'"),
    (changed('["final_loss"]', "[3]"), "variables of a study must be a list"),
    (changed('["final_loss"]', '["final_los"]'), "Variable 'final_los' is unknown; did you mean final_loss"),
    (changed("axes.lr", "axes.lrr"), "axis of study 'small' 'lrr' is unknown; did you mean lr"),
    (
        changed("axes.width = [1.0]", "axes.width = 1"),
        "'width' in 'study.toml' must be a list of values or a table; got 1",
    ),
    (changed("[0.1, 0.2]", "[]"), "Axis 'lr' must have at least 1 value"),
    (changed("[0.1, 0.2]", '["a"]'), "Axis 'lr' must have at least 1 value, each a number"),
    (
        changed("[0.1, 0.2]", "{ logg = [0.1, 1], num = 2 }"),
        "'lr' in 'study.toml' must have one of values, linear, log, .*got logg",
    ),
    (changed("[0.1, 0.2]", "{ log = [0.1, 1], nmu = 2 }"), "entry of axis 'lr' 'nmu' is unknown; did you mean num"),
    (changed("[0.1, 0.2]", "{ log = [0.1, 1] }"), "'lr' in 'study.toml' must state 'num' beside 'log'; it does not"),
    (changed("[0.1, 0.2]", "{ log = [0.1], num = 2 }"), "'log' of axis 'lr' in 'study.toml' must be two numbers"),
    (changed("[0.1, 0.2]", "{ count = 2000000000 }"), "num of axis 'lr' must be at most 1000000; got 2000000000"),
    (changed("[0.1, 0.2]", "{ uniform = [0, 1], num = 2 }"), "'lr' in 'study.toml' must state 'seed' beside 'uniform'"),
    (
        changed("[0.1, 0.2]", "{ uniform = [0, 1], num = 2, seed = 1.5 }"),
        "seed of axis 'lr' must be a whole number; got 1.5",
    ),
    (
        changed("[0.1, 0.2]", "{ uniform = [0, 1], num = 2, sede = 1 }"),
        "entry of axis 'lr' 'sede' is unknown; did you mean seed",
    ),
    (
        changed("[0.1, 0.2]", "{ values = [0.1], splits = 'no' }"),
        "'splits of axis lr' in 'study.toml' must be true or false",
    ),
    (SMALL + "settings = 3\n", "'settings' in 'study.toml' must be a table; got 3"),
    (SMALL + "settings.scal = 3\n", "setting of study 'small' 'scal' is unknown; did you mean scale"),
    (SMALL + "settings.scale = 2026-11-25\n", "settings.scale must be made of"),
    (SMALL + "own.step = 3\n", "Axis 'step' must have at least 1 value, each a number; got 3"),
    (SMALL + "traced = 'no'\n", "traced must be True or False; got 'no'"),
    (SMALL + "precision = 32\n", "precision 32 is unknown; known: float32, float64"),
    (SMALL + "key_axes = ['lrr']\n", "key axis 'lrr' is unknown; did you mean lr"),
    (SMALL + "variables.margn.units = '1'\n", "variable of 'study.toml' 'margn' is unknown"),
    (
        SMALL + "variables.final_loss.unit = '1'\n",
        "entry of variable 'final_loss' 'unit' is unknown; did you mean units",
    ),
    (changed(":train", ":trian"), "'run' in 'study.toml' must be found in its module; .*has no attribute 'trian'"),
    (changed(":train", ":CLAIMS"), "'run' in 'study.toml' must be a function; 'user_of_toml:CLAIMS' is none"),
    (changed("user_of_toml", "user_of_tml"), "'run' in 'study.toml' must name a module; No module named 'user_of_tml'"),
]


@pytest.mark.parametrize(("text", "words"), BAD)
def test_a_file_that_is_wrong_is_refused_in_one_sentence(file, text, words):
    with pytest.raises(InputError, match=words) as error:
        load(file(text), trust=True)
    assert "\n" not in str(error.value)


def test_a_module_that_does_not_run_and_files_that_are_not_there(file, tmp_path):
    path = file(SMALL)
    (tmp_path / "user_of_toml.py").write_text("1 / 0")
    with pytest.raises(InputError, match="must name a module that runs; ZeroDivisionError: division by zero"):
        load(path, trust=True)
    with pytest.raises(InputError, match="must be a file that can be read; No such file or directory"):
        load(tmp_path / "absent.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="must be TOML; "):
        load(tmp_path / "bytes.toml")
