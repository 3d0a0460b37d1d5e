import pytest

from emojax.errors import EmojaxError, InputError
from emojax.util.commandline import Parser, run


def parser() -> Parser:
    made = Parser(prog="test")
    made.add_argument("--output", required=True)
    made.add_argument("--count", type=int)
    return made


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["--output", "x", "--ouput", "y"], "unrecognized arguments: --ouput.*did you mean '--output'"),
        ([], "required: --output"),
        (["--output", "x", "--count", "many"], "invalid int value: 'many'"),
        (["--out", "x"], "required: --output"),  # no abbreviations: they would break when a flag is added
    ],
)
def test_mistakes_are_user_errors(argv, part):
    with pytest.raises(EmojaxError, match=part):
        parser().parse_args(argv)


def raises(error):
    def main():
        raise error

    return main


def test_exit_codes(capsys):
    assert run(lambda: 0) == 0
    assert run(lambda: 1) == 1
    assert run(raises(InputError("line one\nline two"))) == 2
    assert capsys.readouterr().err == "emojax: error: line one line two\n"
    assert run(raises(KeyboardInterrupt())) == 130


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run(raises(ZeroDivisionError()))
