"""What goes with a call: which fact into which field of the CRM, in what form, and when. Pure: values in, values out.

FieldMap.parse(stored) → problems, or rows → `applied(rows, facts, …)` → each field's value, and the path it came by
"""
