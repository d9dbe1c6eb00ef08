"""What every clean and ops table holds (ddl) and what a parser hands over (batch). Below storage and quality; no database here."""
