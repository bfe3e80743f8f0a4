"""What people see of runs: a page for each, a page for several, and a list of them in the browser."""
