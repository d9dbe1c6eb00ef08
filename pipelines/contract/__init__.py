"""The table contract (ddl) and the output types of parsers (batch). Below storage and quality; opens no database."""
