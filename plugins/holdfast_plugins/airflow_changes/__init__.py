"""What people change in Airflow itself, on record before it is done: calls of its API and pages, its command line, its database rows."""
