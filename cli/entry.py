"""Parses the command line into a verb, and turns its end into an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from codec.files.stop import Stopped, stop_signals

from .console import PROGRAM, discard_stdout, note, quiet_libraries, replace_closed_streams, report
from .messages import UsageError

if TYPE_CHECKING:
    from .options import Verb

DONE, FAILED, USAGE, BROKEN_PIPE = 0, 1, 2, 141

VERBS = {
    "encode": "Encode speech into small .dvq files.",
    "decode": "Decode .dvq files to audio.",
    "info": "Describe .dvq files, whole or damaged, without their model.",
    "verify": "Check .dvq files, without their model.",
    "cut": "Cut .dvq files to fewer stages, without their model.",
    "models": "List the models, or describe model files.",
    "eval": "Score decoded speech against its originals.",
    "report": "Make a page of an evaluation, or a blind listening test.",
    "answers": "Sum up what the listeners of a blind page said.",
    "export": "Write a model as ONNX graphs, for programs in other languages.",
    "send": "Send speech over a network while it is spoken: RTP over UDP.",
    "receive": "Receive speech that `diveq-codec send` sends, as it comes: RTP over UDP.",
    "demo": "Try a model in the browser: record, slide the bitrate, listen.",
}
"""Verbs, each a class of that name, capitalised, in a module of that name; and the first line of
its help, which is here as modules take time to import."""

HELP = f"""usage: {PROGRAM} COMMAND ...

A neural speech codec: speech into small .dvq files, and back.

  $ {PROGRAM} encode speech.wav out.dvq
  $ {PROGRAM} decode out.dvq speech.wav

commands, each with its own --help:
{{verbs}}

options:
  -h, --help  show this help
  --version   show the version

The file name - is standard input or output. Existing files are replaced only with
--force. Exit codes: 0 done, 1 an error, told in one line on stderr, 2 wrong usage,
130 and 143 stopped by Ctrl-C and SIGTERM."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Without `arguments` it is that of this process, which a stop signal then ends, whatever its
    threads do.
    """
    replace_closed_streams()
    own = arguments is None
    try:
        with stop_signals(message=_last_words if own else None):
            return _main(sys.argv[1:] if own else list(arguments))
    except Stopped as stopped:
        note(stopped.words)
        return stopped.exit_code


def _last_words(stopped: Stopped) -> str:
    return f"{PROGRAM}: {stopped.words}"


def _main(arguments: list[str]) -> int:
    try:
        if not arguments or arguments[0] not in VERBS:
            return _without_verb(arguments)
        verb = _parse(arguments[0], arguments[1:])
    except BrokenPipeError:  # help | head
        discard_stdout()
        return BROKEN_PIPE
    except SystemExit as parsed:  # help was shown, or tyro has said what is wrong
        return int(parsed.code or DONE)
    except UsageError as error:
        report(error)
        return USAGE
    except OSError as error:  # help on a full disk
        discard_stdout()
        report(error)
        return FAILED
    return _run(verb)


def _without_verb(arguments: list[str]) -> int:
    if not arguments:
        raise UsageError(
            f"no command is given; commands: {', '.join(VERBS)}; --help describes them"
        )
    if arguments[0] in ("-h", "--help"):
        width = max(map(len, VERBS))
        print(
            HELP.format(
                verbs="\n".join(f"  {name:{width}}  {said}" for name, said in VERBS.items())
            )
        )
    elif arguments[0] == "--version":
        from codec import __version__

        print(f"{PROGRAM} {__version__}")
    else:
        raise UsageError(
            f"{arguments[0]} is no command; commands: {', '.join(VERBS)}; --help describes them"
        )
    sys.stdout.flush()
    return DONE


def _parse(name: str, arguments: list[str]) -> Verb:
    """Parse a command; raise `SystemExit` where help is asked for, or the usage is wrong."""
    from inspect import cleandoc

    import tyro  # in here, where a stop signal is heard: it takes time

    from .order import options_first

    verb: type[Verb] = getattr(import_module(f".{name}", __package__), name.capitalize())
    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
    return tyro.cli(
        verb,
        prog=f"{PROGRAM} {name}",
        description=cleandoc(verb.__doc__ or ""),  # which tyro would parse for parameters first
        args=options_first(arguments, verb),
        config=config,
    )


def _run(verb: Verb) -> int:
    try:
        with quiet_libraries(debug=verb.debug):
            code = verb.run() if hasattr(verb, "ends_when_stopped") else _in_thread(verb)
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read our output has enough; said as other programs say it, by the code alone.
        discard_stdout()
        return BROKEN_PIPE
    except Exception as error:
        report(error, debug=verb.debug)
        return USAGE if isinstance(error, UsageError) else FAILED


def _in_thread(verb: Verb) -> int:
    from .workers import in_thread

    return in_thread(verb.run)
