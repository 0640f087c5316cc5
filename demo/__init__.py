"""The demo: PostgreSQL, Airflow and the example Dag on this machine, from nothing to a promoted model. Not a part of the product."""
