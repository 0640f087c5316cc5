"""PostgreSQL: tables, the bounded reads, the engine, migrations. Nothing here decides; constraints and triggers hold what must hold."""
