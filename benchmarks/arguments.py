r"""Arguments of a class or function: checked against its signature, with defaults filled in."""
import inspect
from collections.abc import Callable
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser


class ConfigError(ValueError):
    r"""A configuration cannot be run; the message names what is wrong in it."""


@contextmanager
def naming(what: str):
    r"""Errors in here become errors of the configuration that name ``what`` too."""
    try:
        yield
    except (ValueError, TypeError, ImportError, AttributeError) as error:
        raise ConfigError(f'{what}: {error}') from error


@cache
def _parser(target: Callable, own: tuple[str, ...]) -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    add = parser.add_class_arguments if inspect.isclass(target) else parser.add_function_arguments
    add(target, skip=set(own) & set(inspect.signature(target).parameters), fail_untyped=False)
    return parser


def received(target: Callable, given: dict, *own: str) -> tuple[dict[str, Any], dict[str, Any]]:
    r"""What ``target`` receives, as data and as objects; ``own`` is what the caller passes."""
    parser = _parser(target, own)
    try:
        config = parser.parse_object(deepcopy(given))  # It changes lists.
    except ArgumentError as error:
        raise ConfigError(f'{target.__name__}: {error}') from None
    return config.as_dict(), parser.instantiate(config).as_dict()
