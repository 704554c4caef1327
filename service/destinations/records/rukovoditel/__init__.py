"""The ERP Rukovoditel: its REST API, which field gets what, and how a record is made once."""
