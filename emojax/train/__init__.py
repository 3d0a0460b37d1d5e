"""Everything that only training needs: data -> step -> checkpoint. Nothing outside this folder imports it."""
