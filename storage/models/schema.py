"""All tables with their constraints and indexes, as SQLModel classes: importing this module registers them.

People query the tables with their own SQL, so names are contracts. The classes define tables and validate nothing:
CHECK constraints guard the schema, pydantic guards what comes in. Mapped classes take long to make, so a process
of the product imports none: statements use the modules of `storage.tables`, which `make docs` makes from these.
"""

from storage.models import (
    agents,
    declare,
    deliveries,
    integrations,
    jobs,
    ledger,
    retention,
    rollups,
    runs,
    search,
    views,
)

MODULES = (agents, deliveries, integrations, jobs, ledger, retention, rollups, runs, search, views)
metadata = declare.metadata
