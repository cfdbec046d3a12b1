"""What losses of strangers do to their process, as statements: when their module is imported, or whenever they run."""

from __future__ import annotations

IMPORTS = """
import decimal, gc, io, locale, logging, logging.config, os, random, signal, socket, sys, tempfile, threading, warnings
import numpy as np
"""
HABITS = {
    "none": "pass",
    "another working directory": "os.chdir(tempfile.gettempdir())",
    "a relative one": "os.path.isdir('scratch') and os.chdir('scratch')",
    "one that is removed": "gone = tempfile.mkdtemp(); os.chdir(gone); os.rmdir(gone)",
    "NumPy raises": "np.seterr(all='raise')",
    "decimals of two digits": "decimal.getcontext().prec = 2",
    "import path": "sys.path.insert(0, tempfile.gettempdir())",
    "locale": "locale.setlocale(locale.LC_ALL, 'C.UTF-8' if sys.platform == 'linux' else 'C')",
    "warnings are errors": "warnings.simplefilter('error')",
    "logging is off": "logging.disable(); logging.getLogger().handlers.clear()",
    "logging anew": "logging.config.dictConfig({'version': 1, 'disable_existing_loggers': True})",
    "logging of everything": "logging.basicConfig(level=logging.DEBUG, force=True)",
    "handlers of signals": "[signal.signal(number, signal.SIG_DFL) for number in "
    "(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)]",
    "hooks": "threading.excepthook = sys.excepthook = print",
    "seeds": "random.seed(0); np.random.seed(0)",
    "no streams": "sys.stdout = sys.stderr = None",
    "closed streams": "sys.stdout.close(); sys.stderr.close()",
    "detached streams": "sys.stdout = sys.stderr = io.TextIOWrapper(sys.stdout.detach())",
    "closed buffers": "sys.stdout and sys.stdout.buffer.close(); sys.stderr.buffer.close()",
    "deleted streams": "sys.__dict__.pop('stdout', 0); sys.__dict__.pop('stderr', 0)",
    "import path of anything": "sys.path = (*sys.path[:50], None, 1)",
    "a module that cannot be looked at": "sys.modules['odd'] = type('Odd', (), {'__getattr__': lambda *_: 1 / 0})()",
    "a module that takes no attributes": "sys.modules['odd'] = type('Odd', (), {'__file__': 'odd.py'})",
    "permissions": "os.umask(0o777)",
    "no environment": "os.environ.clear()",
    "time-outs of sockets": "socket.setdefaulttimeout(1e-6)",
    "little recursion": "sys.setrecursionlimit(150)",
    "no garbage collection": "gc.disable()",
}
REPORTED = {
    "another working directory": "the working directory",
    "a relative one": "the working directory",
    "one that is removed": "the working directory",
    "NumPy raises": "NumPy's error state",
    "decimals of two digits": "the decimal context",
    "import path": "sys.path",
    "locale": "the locale",
    "warnings are errors": "the filters of warnings",
    "seeds": "the random state (random, numpy.random)",
    "no environment": "environment variables",
    "little recursion": "the recursion limit",
}
"""Names in the warning about a loss that does so in its calls. All others change no answer."""
VALUE = "(x - 1) * (x - 1) + 0.5 * x"
SWEEP = """
[objective]
loss = "{module}:{name}"
[space]
x = {{ uniform = [-3, 3] }}
y = {{ log_normal = [-700, 3] }}
[method]
use = "search"
candidates = 300
[tracking]
use = "none"
"""


def at_import(habit: str) -> str:
    """Return the code of a module with a function `loss` that has a habit when it is imported."""
    return f"{IMPORTS}\n{HABITS[habit]}\ndef loss(x, y):\n    return {VALUE}\n"


def in_calls(habit: str, name: str = "loss", parameters: str = "x, y", value: str = VALUE) -> str:
    """Return the code of a module with a function that has a habit whenever it is called."""
    return f"{IMPORTS}\ndef {name}({parameters}):\n    {HABITS[habit]}\n    return {value}\n"
