"""Records what ran, on what, what it made and who let it through, and proves it.

This package never imports Airflow and works where Airflow is not installed. Importing it does nothing.
"""

__version__ = "0.1.0"
