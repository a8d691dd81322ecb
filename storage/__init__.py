"""Everything that speaks SQL. It knows no HTTP."""
