"""Tests of a script: functions registered in order, each with a sentence for a name."""
import os
import signal
import sys
import time
import traceback

_tests = []
# What a time limit ends must still tear down what it started.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Skip(Exception):
    pass


def test(function):
    _tests.append(function)
    return function


def run(*arguments):
    """Runs them all, with what they share, and ends the process with the line tests/run reads."""
    only = os.environ.get("ONLY", "")
    passed = failed = skipped = 0
    for function in _tests:
        name = function.__name__.replace("_", " ").strip()
        if only and only not in name:
            continue
        begun = time.monotonic()
        try:
            function(*arguments)
        except Skip as why:
            skipped += 1
            print(f"skip {name}: {why}", flush=True)
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            failed += 1
            print(f"FAIL {name} ({time.monotonic() - begun:.1f} s)", flush=True)
            traceback.print_exc(file=sys.stdout)
            for argument in arguments:
                if hasattr(argument, "show_logs"):
                    argument.show_logs()
            if any(argument.dead() for argument in arguments if hasattr(argument, "dead")):
                print("a program under test has died: the rest is not run", flush=True)
                break
        else:
            passed += 1
            print(f"ok   {name} ({time.monotonic() - begun:.1f} s)", flush=True)
    end = f"{passed} passed, {failed} failed"
    print(end + (f", {skipped} skipped" if skipped else ""), flush=True)
    return 1 if failed else 0


def skip(why):
    """The whole script."""
    print(why)
    sys.exit(77)
