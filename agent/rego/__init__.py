"""Rego, the language of Ratify's policies: a compiler and an evaluator of our own, in plain Python.

`compiler.compile_policy` runs when a configuration is published and gives JSON for the snapshot; `evaluator.Program`
answers a query on the pull path, in some milliseconds.  Why not a library: docs/decisions/0006-rego-of-our-own.md.

Language: OPA's policy language and policy reference (https://www.openpolicyagent.org/docs/policy-language), versions 0
and 1.  What is not here is refused when a policy is compiled.
"""
