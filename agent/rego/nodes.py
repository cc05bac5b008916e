"""The form of syntax trees and compiled programs: what the compiler writes and the evaluator reads.

A term is a list that JSON can hold; the first element says what it is::

    lit [null, bool, whole number or text]   num [decimal text]   var [name, line, column]
    ref [head term, [bracket terms]]         call [name or path, [arguments], line, column]
    arr [terms]   set [terms]   obj [[key, value]]   arrc [term, body]   setc [term, body]   objc [key, value, body]
"""

from typing import Any

Node = Any
"""A piece of a syntax tree: lists and dicts of what JSON can hold."""
