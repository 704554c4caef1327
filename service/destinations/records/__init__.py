"""The destination that makes records: a change of stage or an event becomes one record in the ERP."""
