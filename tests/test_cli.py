"""The command `emojax`: its verbs, the scripts that are shims of them, what starting costs, and its reference page."""

import importlib.util
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import emojax
from emojax.cli import main as cli
from emojax.cli import stylize, train
from emojax.cli.main import COMMANDS, Command, dispatch, main
from emojax.cli.stylize_parser import parse
from emojax.errors import InputError
from emojax.train.options import parse_preset
from emojax.train.presets.classifier import PRESETS as CLASSIFIERS
from emojax.train.presets.style import PRESETS as STYLES

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def called(monkeypatch):
    """The commands that would run, with their arguments, instead of running them."""
    calls = []
    names = {id(command): name for name, command in COMMANDS.items()}
    monkeypatch.setattr(cli, "_call", lambda command, argv: calls.append((names[id(command)], argv)) or 0)
    return calls


@pytest.mark.parametrize(
    ("argv", "command", "rest"),
    [
        ("photo.jpg", "stylize", "photo.jpg"),
        ("--input photo.jpg -q", "stylize", "--input photo.jpg -q"),
        ("- --output -", "stylize", "- --output -"),
        ("stylize train.jpg", "stylize", "train.jpg"),
        ("stylize --help", "stylize", "--help"),
        ("./train", "stylize", "./train"),
        ("train styles gpu --minutes 9", "train styles", "gpu --minutes 9"),
        ("train classifier expw", "train classifier", "expw"),
        ("train calibrate --bias", "train calibrate", "--bias"),
        ("evaluate styles --limit 8", "evaluate styles", "--limit 8"),
        ("evaluate classifier", "evaluate classifier", ""),
        ("export --format safetensors", "export", "--format safetensors"),
        ("style add --name joy", "style add", "--name joy"),
        ("style show joy.pack", "style show", "joy.pack"),
        ("vgg16 port a b", "vgg16 port", "a b"),
    ],
)
def test_verbs(called, argv, command, rest):
    assert dispatch(argv.split()) == 0
    assert called == [(command, rest.split())]


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(called, capsys, argv):
    assert main(argv) == 0 and not called
    shown = capsys.readouterr().out
    assert all(re.search(rf"^  {name} +{re.escape(command.help)}", shown, re.M) for name, command in COMMANDS.items())


def test_help_of_a_verb_lists_its_commands(called, capsys):
    for argv in (["train"], ["train", "--help"]):
        assert main(argv) == 0 and not called
        shown = capsys.readouterr().out
        assert "train styles" in shown and "train classifier" in shown and "evaluate" not in shown


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"emojax {emojax.__version__}\n"


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (
            "train stlyes",
            "unknown command emojax train stlyes (did you mean 'styles'?): choose from styles, classifier",
        ),
        ("style 7", "unknown command emojax style 7: choose from add, show"),
        ("evalute styles", "no photo and no verb is called 'evalute' (did you mean 'evaluate'?)"),
    ],
)
def test_a_misspelt_command_names_the_nearest(called, capsys, argv, part):
    assert main(argv.split()) == 2 and not called
    error = capsys.readouterr().err
    assert part in error and error.count("\n") == 1


def test_a_file_is_a_photo_whatever_its_name(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("trains").mkdir()
    assert dispatch(["trains"]) == 0 and called == [("stylize", ["trains"])]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_has_its_function(command):
    module, _, function = command.function.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize(("name", "error"), [("grain", InputError), ("emojax.x", ModuleNotFoundError)])
def test_a_missing_package_names_the_extra(monkeypatch, name, error):
    monkeypatch.setattr("emojax.util.compiling.enable_cache", lambda: None)
    with (
        pytest.raises(
            error, match=r"needs the package grain: pip install 'emojax\[train\]'" if name == "grain" else "no"
        ),
        train._training(),
    ):
        raise ModuleNotFoundError(f"no {name}", name=name)


def test_a_bug_in_an_import_is_not_hidden(monkeypatch):
    monkeypatch.setitem(COMMANDS, "export", Command("emojax.cli.nowhere:export", ""))
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        main(["export"])


# --- the scripts of version 0.1


@pytest.mark.parametrize(
    ("script", "argv", "command"),
    [
        (
            "train_style",
            "emotions --data.photos a --batch_size 2",
            "train styles emotions --data.photos a --batch_size 2",
        ),
        ("train_style", "evaluate --optimum 4", "evaluate styles --optimum 4"),
        ("train_style", "add --painting my.jpg", "style add --painting my.jpg"),
        ("train_style", "average --output mine", "style average --output mine"),
        ("train_style", "swatches --size 64", "style swatches --size 64"),
        ("train_style", "--help", "train styles --help"),
        ("train_classifier", "expw --data.root x", "train classifier expw --data.root x"),
        ("train_classifier", "evaluate --data x", "evaluate classifier --data x"),
        ("train_classifier", "calibrate --bias", "train calibrate --bias"),
        ("train_classifier", "", "train classifier"),
    ],
)
def test_the_scripts_are_commands(monkeypatch, script, argv, command):
    module = importlib.import_module(script)
    given = []
    monkeypatch.setattr(module, "entry", lambda argv: given.append(argv) or 0)
    monkeypatch.setattr("sys.argv", [f"{script}.py", *argv.split()])
    assert module.main() == 0
    assert given == [command.split()]


@pytest.mark.parametrize(
    ("module", "command"), [("emojax.style_pack", "style show"), ("emojax.port_vgg16", "vgg16 port")]
)
def test_the_modules_are_commands(module, command):
    source = Path(importlib.util.find_spec(module).origin).read_text()
    assert str(command.split())[1:-1].replace("'", '"') in source


# --- what starting costs


@pytest.mark.parametrize(
    ("argv", "heavy"),
    [
        (["--help"], ["jax", "numpy", "PIL", "tqdm", "safetensors"]),
        (["train", "--help"], ["jax", "numpy", "PIL", "tqdm", "safetensors"]),
        (["stylize", "--help"], ["jax", "flax", "orbax", "matplotlib"]),
        (["export", "--help"], ["jax", "numpy", "PIL"]),
        (["style", "show", "--help"], ["jax", "flax", "orbax"]),
    ],
    ids=" ".join,
)
def test_a_light_command_imports_nothing_heavy(argv, heavy):
    code = "import sys; from emojax.__main__ import entry\n"
    code += "try: code = entry(sys.argv[1:])\nexcept SystemExit as exit: code = exit.code\n"
    code += "print('loaded', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr); sys.exit(code)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, *argv], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: emojax"), done.stderr
    assert not set(heavy) & set(done.stderr.split()[1:])


@pytest.fixture
def jax_logger():
    """The logger of JAX, without the level that another test gave it."""
    logger = logging.getLogger("jax")
    logger.setLevel(logging.NOTSET)
    yield logger
    logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize("quiet", [False, True])
def test_quiet_hides_the_warnings_of_jax(monkeypatch, tmp_path, jax_logger, quiet):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {name: v for name, v in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"})
    assert stylize.main(["a.png", *["-q"] * quiet]) == 2  # there is no such photo
    assert ("TF_CPP_MIN_LOG_LEVEL" in os.environ) == quiet
    assert jax_logger.getChild("_src").isEnabledFor(logging.WARNING) != quiet


# --- the reference


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse lays out help in another way in each Python")
def test_the_reference_is_current():
    spec = importlib.util.spec_from_file_location("make_cli", ROOT / "docs" / "make_cli.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.FILE.read_text() == module.reference(), "run python docs/make_cli.py"


def test_no_help_names_the_place_of_the_installation(capsys):
    with pytest.raises(SystemExit):
        dispatch(["evaluate", "styles", "--help"])
    shown = capsys.readouterr().out
    assert "packaged classifier" in " ".join(shown.split()) and "checkpoints/" not in shown and "None" not in shown


def test_an_unknown_flag_is_one_line(capsys):
    with pytest.raises(InputError, match="did you mean '--force'"):
        dispatch(["export", "--format", "safetensors", "--output", "x", "--forse"])


# --- the documentation

WORDS = re.compile(
    r"(?:^|`)(python (?:stylize|train_style|train_classifier)\.py [^`\n#|&]+|emojax [^`\n#|&]+)", re.MULTILINE
)
SCRIPTS = {
    "stylize.py": "stylize",
    "train_style.py": "train styles",
    "train_classifier.py": "train classifier",
}


def documented():
    """The commands of the README and the documentation that stylize photos or train by a preset: (command, arguments)."""
    pages = [ROOT / "README.md", *(page for page in (ROOT / "docs").glob("*.md") if page.name != "cli.md")]
    for text in {match.strip() for page in pages for match in WORDS.findall(page.read_text())}:
        words = re.split(r" [<>]", text)[0].split()
        if words[0] == "python" and words[1] in SCRIPTS:
            command, rest = SCRIPTS[words[1]], words[2:]
        elif words[0] == "emojax" and words[1].endswith((".jpg", "/")):
            command, rest = "stylize", words[1:]
        elif words[0] == "emojax" and " ".join(words[1:3]) in SCRIPTS.values():
            command, rest = " ".join(words[1:3]), words[3:]
        else:
            continue
        if command == "stylize" or (rest and rest[0] in {**STYLES, **CLASSIFIERS}):
            yield command, [{"M": "9"}.get(word, word) for word in rest if word != "..."]


@pytest.mark.parametrize(("command", "argv"), sorted(documented()), ids=lambda part: part if part else "")
def test_documented_commands_parse(command, argv):
    if "--help" in argv:
        return
    if command == "stylize":
        parse([*argv, "--input", "photo.jpg"])  # some say only what is new in them
    else:
        parse_preset(argv, STYLES if command == "train styles" else CLASSIFIERS, command)
