"""From `module:attribute` to an ASGI application, or to one sentence with file and line that says why not.

It never guesses: what is named must be an `APIRouter` or something that can be called as an ASGI application. The
service's code runs here for the first time, so everything it may throw is caught, `sys.exit` included.
"""

import contextlib
import importlib
import inspect
import itertools
import os
import sys
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Literal

from fastapi import APIRouter, FastAPI

from .redaction import Redactor

Application = Callable[..., Any]
Reason = Literal["ImportFailed", "StartFailed", "CallFailed", "OutOfMemory"]
WHEN = {
    "ImportFailed": "while it was imported",
    "StartFailed": "while it started",
    "CallFailed": "while it was called",
}

DETAIL_LIMIT = 8 * 1024
MESSAGE_LIMIT = 500
OURS = str(Path(__file__).parent)


@dataclass(frozen=True, slots=True)
class Place:
    file: str | None = None
    """Relative to the service's folder."""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a release does not start, in full. What is told of it has no secrets, and a length."""

    reason: Reason
    message: str
    detail: str = ""
    place: Place = Place()
    remedy: str | None = None

    def told(self, redactor: Redactor) -> "Fault":
        # The end of a traceback matters most.
        end = redactor.text(self.detail).encode(errors="replace")[-DETAIL_LIMIT:].decode(errors="ignore")
        return replace(self, message=redactor.cut(self.message, MESSAGE_LIMIT - 1, "…"), detail=end)


class Faulty(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@contextlib.asynccontextmanager
async def _nothing(app: FastAPI) -> AsyncIterator[None]:
    yield


def load(entry: str, code: str, title: str) -> Application:
    """Import the service. Raises `Faulty`."""
    module, value = _import(entry, code, "entry")
    return _as_application(value, entry.partition(":")[2], module, code, title)


def find(name: str, code: str) -> Callable[..., Any]:
    """A function that cron calls, `module:function`. Raises `Faulty`."""
    module, value = _import(name, code, "call")
    if not callable(value):
        place = Place(_relative(getattr(module, "__file__", None), code))
        message = (
            f"{name.partition(':')[2]} in {_name(module, place)} is of type {type(value).__name__}, not a function."
        )
        raise Faulty(Fault("ImportFailed", message, place=place))
    return value


def _import(entry: str, code: str, field: str) -> tuple[ModuleType, object]:
    """`field` is where the manifest says it."""
    module_name, _, attribute = entry.partition(":")
    try:
        module = importlib.import_module(module_name)
        value: object = module
        for name in attribute.split("."):
            value = getattr(value, name)
    except AttributeError as error:
        if _is_of_service(error.__traceback__, code):
            raise Faulty(fault_of(error, "ImportFailed", code)) from error
        raise Faulty(_no_attribute(module, attribute, code, field)) from error
    except BaseException as error:
        fault = fault_of(error, "ImportFailed", code)
        if _is_missing(module_name, error, code):
            file = f"{module_name.replace('.', '/')}.py"
            fault = replace(fault, remedy=f"add {file} to the service's folder, or name another module in `{field}`")
        raise Faulty(fault) from error
    return module, value


def _as_application(value: object, attribute: str, module: ModuleType, code: str, title: str) -> Application:
    if isinstance(value, APIRouter):
        try:
            return shell(value, title)
        except Exception as error:
            raise Faulty(fault_of(error, "ImportFailed", code)) from error
    if callable(value) and not inspect.isclass(value) and _takes_three(value):
        return value
    kind = "a class" if inspect.isclass(value) else f"of type {type(value).__name__}"
    place = Place(_relative(getattr(module, "__file__", None), code))
    message = f"{attribute} in {_name(module, place)} is {kind}, not an APIRouter or an ASGI application."
    raise Faulty(Fault("ImportFailed", message, place=place))


def shell(router: APIRouter, title: str) -> FastAPI:
    # Without a lifespan, `on_event` functions of an included router run twice, in every version of FastAPI.
    app = FastAPI(title=title, lifespan=_nothing)
    _run_events_once(router)
    app.include_router(router)
    return app


def _run_events_once(router: APIRouter) -> None:
    """Undo that a router which includes another copies its `on_event` functions and also runs the other's lifespan.

    Each function stays with the innermost router that runs it.
    """
    for kind in ("on_startup", "on_shutdown"):
        kept: set[int] = set()
        for nested in reversed(_routers_run_by(router.lifespan_context)):
            functions = getattr(nested, kind)
            functions[:] = [function for function in functions if id(function) not in kept]
            kept.update(map(id, functions))


def _routers_run_by(lifespan: Any) -> list[Any]:
    """The routers whose events a lifespan runs, outermost first; `include_router` nests lifespans in closures."""
    router = getattr(lifespan, "_router", None)
    if router is not None:
        return [router]
    cells = getattr(getattr(lifespan, "__wrapped__", lifespan), "__closure__", None) or ()
    names = getattr(getattr(lifespan, "__wrapped__", lifespan), "__code__", None)
    if names is None or set(names.co_freevars) != {"nested_context", "original_context"}:
        return []
    nested, original = (cell.cell_contents for cell in cells)
    return _routers_run_by(original) + _routers_run_by(nested)


def _takes_three(value: Callable[..., Any]) -> bool:
    try:
        inspect.signature(value).bind({}, None, None)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _is_missing(module: str, error: BaseException, code: str) -> bool:
    """The module itself is not there, rather than one that it wants."""
    sought = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
    return sought and not _is_of_service(error.__traceback__, code)


def _no_attribute(module: ModuleType, attribute: str, code: str, field: str) -> Fault:
    place = Place(_relative(getattr(module, "__file__", None), code))
    remedy = f"define {attribute} there, or name another in `{field}`"
    return Fault("ImportFailed", f"{_name(module, place)} has no attribute {attribute}.", place=place, remedy=remedy)


def _name(module: ModuleType, place: Place) -> str:
    return place.file or module.__name__


def fault_of(error: BaseException, reason: Reason, code: str) -> Fault:
    if isinstance(error, MemoryError):
        reason = "OutOfMemory"
    place = _place_of(error, code)
    return Fault(reason, _sentence(error, reason), _detail(error), place, _remedy(error, code))


def _remedy(error: BaseException, code: str) -> str | None:
    """What to do about a module that is not there, or that is not the one which was meant."""
    name = None
    if isinstance(error, ImportError):
        name = error.name
    elif isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        name = error.obj.__name__
    module = (name or "").partition(".")[0]
    own = next((own for own in (f"{module}.py", module) if (Path(code) / own).exists()), None)
    if module not in sys.stdlib_module_names:
        return _where_from(module) if isinstance(error, ModuleNotFoundError) and own is None else None
    return f"rename {own}: Python has a module {module} of its own, which is the one that is imported" if own else None


def _where_from(module: str) -> str:
    return f"if {module} is in a package, add that to `requirements`; if in this repository, add its path to `watch`"


def _sentence(error: BaseException, reason: Reason) -> str:
    if isinstance(error, SystemExit):
        return f"The service called sys.exit({error.code!r}) {WHEN.get(reason, WHEN['StartFailed'])}."
    if isinstance(error, Faulty):
        return error.fault.message
    if isinstance(error, SyntaxError):
        text = f"{type(error).__name__}: {error.msg}"
    else:
        text = _without_path("".join(traceback.format_exception_only(error)).strip(), error)
    return text.splitlines()[0] if text else type(error).__name__


def _detail(error: BaseException) -> str:
    """The traceback without our own frames and without those of the import system."""
    told = "".join(traceback.TracebackException(type(error), error, _first_foreign(error.__traceback__)).format())
    return _without_path(told, error)


def _without_path(text: str, error: BaseException) -> str:
    """`cannot import name 'x' from 'y'` goes on with where y lies on this machine: long, and nobody's business."""
    return text.replace(f" ({error.path})", "") if isinstance(error, ImportError) and error.path else text


def _first_foreign(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and _is_machinery(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _is_machinery(file: str) -> bool:
    return file.startswith((OURS, "<frozen importlib")) or file == importlib.__file__


def _is_of_service(trace: TracebackType | None, code: str) -> bool:
    return any(_relative(frame.filename, code) for frame in traceback.extract_tb(trace))


def _place_of(error: BaseException, code: str) -> Place:
    """The innermost line that the service itself wrote."""
    if isinstance(error, SyntaxError):
        file = _relative(error.filename, code)
        if file:
            return Place(file, error.lineno)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = _relative(frame.filename, code)
        if file:
            return Place(file, frame.lineno)
    for inner in (error.__cause__, error.__context__, *_grouped(error)):
        if inner is not None and inner is not error:
            place = _place_of(inner, code)
            if place.file:
                return place
    return Place()


def _grouped(error: BaseException) -> tuple[BaseException, ...]:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()


def _relative(file: str | None, code: str) -> str | None:
    if not file:
        return None
    for root in (code, os.path.realpath(code)):
        if file.startswith(root + os.sep):
            return Path(file).relative_to(root).as_posix()
    return None


def imported_from(packages: tuple[str, ...], last: str) -> list[str]:
    """The top-level modules of the environment that came in after `last`: what a later fork may find imported."""
    new = itertools.takewhile(lambda name: name != last, reversed(sys.modules))
    return sorted(name for name in new if "." not in name and _origin(name).startswith(packages))


def _origin(name: str) -> str:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return getattr(spec, "origin", None) or ""
