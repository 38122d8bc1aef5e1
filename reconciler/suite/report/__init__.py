"""A report of played suites, told to a person, to whatever reads JUnit, and to whatever reads TAP.

JSON is `Report.to_json`, and GitHub's annotations are made of `reconciler.model.verdict.problems`. All text in a
report has been redacted already.
"""
