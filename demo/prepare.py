"""Migrates Airflow's database and makes its users, in one process, because the import of Airflow is most of either: `python -m demo.prepare < users.json`."""

import json
import sys

from demo.users import create


def main() -> None:
    """Do both; the same again changes nothing."""
    from airflow.cli.cli_parser import get_parser

    migrate = get_parser().parse_args(["db", "migrate"])
    migrate.func(migrate)
    create(json.load(sys.stdin))


if __name__ == "__main__":
    main()
