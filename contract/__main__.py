"""Write the OpenAPI document: ``python -m contract > docs/openapi.json``."""

from contract.document import main

main()
