"""Maps against labels: counting, and labels on the map's grid."""
