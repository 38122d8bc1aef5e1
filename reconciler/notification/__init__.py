"""News sent to where people are: Slack and what speaks like it, or any address, signed.

An address is the operator's, and yet it may lead where it should not: what it resolves to is judged first, and what was
judged is what is connected to. Nothing here is ever waited for by a release.
"""
