import pytest

import emojax
from emojax import errors
from emojax.errors import (
    CheckpointError,
    EmojaxError,
    InputError,
    NoFaceError,
    OutputError,
    ResourceError,
    with_flags,
)
from emojax.options import StylizeOptions
from emojax.util.commandline import Parser, run
from emojax.util.numbers import check_range


def test_the_kinds_of_errors():
    assert issubclass(InputError, ValueError)
    for kind in (InputError, CheckpointError, NoFaceError, OutputError, ResourceError):
        assert issubclass(kind, EmojaxError) and getattr(emojax, kind.__name__) is kind
    with pytest.raises(ValueError, match="wrong") as caught:
        raise InputError("wrong", "mix")
    assert caught.value.field == "mix" and InputError("wrong").field is None


@pytest.mark.parametrize("module", [emojax, errors])
def test_the_name_of_version_0_1_still_works(module):
    with pytest.warns(DeprecationWarning, match="EmojaxError"):
        assert module.UserError is EmojaxError
    with pytest.raises(AttributeError, match="NoSuchError"):
        _ = module.NoSuchError


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"mix": "blend"}, "mix"),
        ({"no_face": "ignore"}, "no_face"),
        ({"face": "both"}, "face"),
        ({"style_scale": 9.0}, "style_scale"),
        ({"strength": 2.0}, "strength"),
        ({"colors": "red"}, "colors"),
        ({"per_face": True, "emotion": "sad"}, "per_face"),
    ],
)
def test_a_wrong_option_names_its_field(options, field):
    with pytest.raises(InputError) as caught:
        StylizeOptions(**options)
    assert caught.value.field == field and f"`{field}`" in str(caught.value) and "--" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("`style_scale` 9: it is 0.25 to 4", "--style-scale 9: it is 0.25 to 4"),
        ("give `data.photos` or `per_face`", "give --data.photos or --per-face"),
        ("cannot read a/`x`", "cannot read a/`x`"),  # a file's name
        ("cannot read `Photo 1`.png", "cannot read `Photo 1`.png"),
        ("no face found", "no face found"),
    ],
)
def test_the_command_line_shows_fields_as_flags(capsys, message, shown):
    def fails():
        raise InputError(message)

    assert run(fails) == 2
    assert capsys.readouterr().err == f"emojax: error: {shown}\n"


def test_a_command_may_name_its_flags_itself():
    assert with_flags("`seconds` 0", {"seconds": "--minutes"}.__getitem__) == "--minutes 0"


def test_a_flag_is_named_once(capsys):
    parser = Parser(prog="test")
    parser.add_argument("--style-scale")
    with pytest.raises(InputError, match="did you mean '--style-scale'"):
        parser.parse_args(["--style-scal", "1"])


@pytest.mark.parametrize(
    ("value", "limits", "said"),
    [
        (0, {"above": 0}, "`rate` 0: it is a number, above 0"),
        (-1, {"least": 0, "below": 1}, "`rate` -1: it is a number, at least 0, below 1"),
        (1, {"least": 0, "below": 1}, "`rate` 1: it is a number, at least 0, below 1"),
        (3.0, {"least": 1, "most": 2}, "`rate` 3.0: it is a number, at least 1, at most 2"),
        (float("nan"), {}, "`rate` nan: it is a number"),
        ("1", {}, "`rate` '1': it is a number"),
        (1.5, {"whole": True}, "`rate` 1.5: it is a whole number"),
        ((1, 5), {"most": 4}, "`rate` (1, 5): each is a number, at most 4"),
    ],
)
def test_a_number_out_of_range_names_its_field(value, limits, said):
    with pytest.raises(InputError) as caught:
        check_range("rate", value, **limits)
    assert str(caught.value) == said and caught.value.field == "rate"


@pytest.mark.parametrize(
    ("value", "limits"), [(1, {"least": 1, "most": 1, "whole": True}), ((), {"above": 0}), (0.5, {})]
)
def test_a_number_in_range(value, limits):
    check_range("rate", value, **limits)
