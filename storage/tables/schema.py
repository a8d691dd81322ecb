"""All tables, constraints and indexes: importing this module registers them.

People query the tables with their own SQL, so names are contracts. The classes define tables and validate nothing:
CHECK constraints guard the schema, pydantic guards what comes in. Statements use the Core tables of each module.
"""

from storage.tables import declare, deliveries, integrations, jobs, ledger, rollups, runs, search

MODULES = (deliveries, integrations, jobs, ledger, rollups, runs, search)
metadata = declare.metadata
