sluice_fuzz(expression USES sluice_expr)
