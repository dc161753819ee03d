"""From the command line to a verb, and from its end to an exit code."""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from dataclasses import make_dataclass
from functools import reduce
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from .console import PROGRAM, discard_stdout, note, quiet_libraries, replace_closed_streams, report
from .errors import UsageError
from .order import options_first
from .signals import Terminated, terminable

if TYPE_CHECKING:
    from .arguments import Verb

DONE, FAILED, USAGE, INTERRUPTED, BROKEN_PIPE, TERMINATED = 0, 1, 2, 130, 141, 143

DESCRIPTION = """A neural speech codec: speech into small .dvq files, and back.

$ diveq-codec encode speech.wav out.dvq
$ diveq-codec decode out.dvq speech.wav

Each command has its own --help; --version shows the version. The file name - is standard input or output. Existing
files are replaced only with --force. Exit codes: 0 done, 1 an error, told in one line on stderr, 2 wrong usage."""

VERBS = {
    "encode": "Encode speech into small .dvq files.",
    "decode": "Decode .dvq files to audio.",
    "info": "Describe .dvq files, whole or damaged, without their model.",
    "verify": "Check .dvq files, without their model: say ok, or name every fault and exit with 1.",
    "cut": "Cut a .dvq file to fewer stages, without its model: what is left decodes as decode --stages would.",
    "eval": "Score decoded speech against its originals.",
    "models": "List the shipped models, or describe model files.",
    "export": "Write a model as ONNX graphs, for programs in other languages.",
    "report": "Make a page of an evaluation: curves, tables, clips to listen to; or a blind listening test.",
    "answers": "Sum up what the listeners of a blind page said.",
}
"""Verbs, each a class of that name, capitalised, in a module of that name; and the first line of its help, which is
here as modules take time to import."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default that of this process; returns the exit code."""
    replace_closed_streams()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["--version"]:
        from codec import __version__

        print(f"{PROGRAM} {__version__}")
        return DONE
    try:
        verb = _parse(arguments)
    except BrokenPipeError:  # help | head
        discard_stdout()
        return BROKEN_PIPE
    except SystemExit as parsed:  # help was shown, or tyro has said what is wrong
        return int(parsed.code or DONE)
    except UsageError as error:
        report(error)
        return USAGE
    return _run(verb)


def _parse(arguments: list[str]) -> Verb:
    """The command, ready to run; `SystemExit` where help is asked for, or the usage is wrong."""
    import tyro

    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
    if arguments and arguments[0] in VERBS:
        name, verb = arguments[0], _verb(arguments[0])
        return tyro.cli(verb, prog=f"{PROGRAM} {name}", args=options_first(arguments[1:], verb), config=config)
    tyro.cli(reduce(operator.or_, map(_in_short, VERBS)), prog=PROGRAM, description=DESCRIPTION, args=arguments)
    raise AssertionError("without a command there is help or an error")


def _verb(name: str) -> type[Verb]:
    return getattr(import_module(f".{name}", __package__), name.capitalize())


def _in_short(name: str) -> Any:
    """The verb in the list of all: its name and the first line of its help, without arguments, which take time."""
    import tyro

    return Annotated[make_dataclass(name.capitalize(), ()), tyro.conf.subcommand(name, description=VERBS[name])]


def _run(verb: Verb) -> int:
    try:
        with terminable(), quiet_libraries(debug=verb.debug):
            code = verb.run()
            sys.stdout.flush()
        return code
    except Terminated:
        note("terminated")
        return TERMINATED
    except KeyboardInterrupt:
        note("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough; said as other programs say it, by the code alone
        discard_stdout()
        return BROKEN_PIPE
    except Exception as error:
        report(error, debug=verb.debug)
        return USAGE if isinstance(error, UsageError) else FAILED
