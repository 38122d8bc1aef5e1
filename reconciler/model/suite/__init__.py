"""Suites: declared HTTP tests, what they may say, and how an answer is judged.

Pure: files come in as bytes, answers as values, and nothing here asks a service anything.
"""
