"""Suites that hold what is promised of a contract, for your own tests: subclass one, name what it tests, and pytest runs it.

Each suite is a module of its own, imported by its name; nothing else in the package imports one.
"""
