"""What can go wrong around a run, one row a fault: it is injected, the run goes on, and its end is compared.

`harness.py` has the row (`Fault`) and the scene in which it is played: a run of a few seconds that was stopped in its middle.
Each other file holds the rows of one kind of fault in a list `FAULTS`, and stands in `TABLES`; `test_faults.py` plays all of
them. A row is slow if it takes more than a few seconds: pytest passes it over, `make faults` does not.
The table in docs/reliability.md is made from the rows: `python -m envs_tests.faults` writes it anew.
"""
