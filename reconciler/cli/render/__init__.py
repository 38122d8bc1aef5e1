"""One report, told four ways: to a person at a terminal, to a program, to GitHub and to whatever reads JUnit.

The facts are in `report.py`; each neighbour only chooses the form. None of them lets a control character from a
repository through.
"""
