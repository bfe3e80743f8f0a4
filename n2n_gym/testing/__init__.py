"""Suites that hold what is promised of a contract, for your own tests: subclass one, give it what it tests, pytest runs it.

`evaluator.EvaluatorSuite`, `layer.LayerSuite` and `agent.AgentSuite` say what they need. Each is a module of its own, imported
by its name; nothing else in the package imports one.
"""
