"""The primitives that are merged, each of which was looked at.

Any primitive that declares itself free of effects is merged, unless it is
excluded (`exclusions`) or a call or loop that is looked into
(`compat.STRUCTURED`). So a new JAX's primitives are merged before anybody has
seen them. A test asks that each is excluded, looked into, or stands here.
"""

_FAMILIES = {
    "Arithmetic and comparison, element by element": """
        _copysign abs acos acosh add add_any and asin asinh atan atan2 atanh
        bessel_i0e bessel_i1e cbrt ceil clamp clz complex conj cos cosh
        digamma div eq eq_to erf erf_inv erfc exp exp2 expm1 floor ge gt
        igamma igamma_grad_a igammac imag integer_pow is_finite le le_to
        lgamma log log1p log2 logistic lt lt_to max min mul mulhi ne neg
        nextafter not one_minus_square or polygamma polynomial
        population_count pow real reciprocal regularized_incomplete_beta
        rem round rsqrt select_n shift_left shift_right_arithmetic
        shift_right_logical sign sin sinh sqrt square stochastic_round
        sub tan tanh xor zeta""",
    "Changes of type and of memory": """
        bitcast bitcast_convert_type convert_element_type copy
        device_put from_edtype has_memory_space layout_cast
        layout_constraint
        pack_dtype pack_elementwise reduce_precision relayout
        remove_memory_space to_edtype unpack_dtype unpack_elementwise
        with_memory_space_constraint""",
    "Elements in other places": """
        broadcast_in_dim broadcast_to concatenate dynamic_slice
        dynamic_update_slice einshape_lo gather iota iota_2x32_shape pad
        reshape rev roll scatter scatter-add scatter-max scatter-min
        scatter-mul scatter-sub select_and_gather_add select_and_scatter
        select_and_scatter_add slice split squeeze stack tile transpose
        unstack""",
    "Reductions, scans and sorting": """
        approx_top_k argmax argmin cumlogsumexp cummax cummin cumprod
        cumsum reduce reduce_and reduce_max reduce_min reduce_or
        reduce_prod reduce_sum reduce_window reduce_window_max
        reduce_window_min reduce_window_sum reduce_xor sort top_k""",
    "Linear algebra, convolution and transforms": """
        cholesky cholesky_update conv conv_general_dilated dot_general
        eig eigh fft geqp3 geqrf hessenberg householder_product lu
        lu_pivots_to_permutation ormqr qr ragged_dot_general scaled_dot
        scaled_matmul scaled_matmul_wrapper schur spsolve svd
        symmetric_product triangular_solve tridiagonal tridiagonal_solve""",
    "Sparse arrays": """
        bcoo_dot_general bcoo_dot_general_sampled bcoo_extract
        bcoo_fromdense bcoo_sort_indices bcoo_spdot_general
        bcoo_sum_duplicates bcoo_todense bcoo_transpose bcsr_dot_general
        bcsr_extract bcsr_fromdense bcsr_todense coo_fromdense
        coo_matmat coo_matvec coo_spmm coo_spmv coo_todense
        csr_fromdense csr_matmat csr_matvec csr_spmm csr_spmv
        csr_todense todense""",
    "Collectives, and what says where a value is": """
        all_gather all_gather_invariant all_to_all axis_index
        global_array_to_host_local_array
        host_local_array_to_global_array pbroadcast pbroadcast_dynamic
        pmax pmin ppermute preduced psum psum_invariant pvary
        reduce_scatter reduced_vary_cast reduced_vary_cast_p reshard
        shard_alike sharding_constraint vary_unreduced_cast
        vary_unreduced_cast_p""",
    "Counter-based random numbers": """
        philox2x32 philox4x32 random_gamma threefry2x32 threefry4x32""",
    "Library kernels that are functions of their operands": """
        dot_product_attention_bwd dot_product_attention_bwd_wrapper
        dot_product_attention_fp8_bwd
        dot_product_attention_fp8_bwd_wrapper
        dot_product_attention_fp8_fwd
        dot_product_attention_fp8_fwd_wrapper dot_product_attention_fwd
        dot_product_attention_fwd_wrapper rnn_bwd rnn_fwd""",
    "What holds a jaxpr, a name or a shape": """
        composite custom_partitioning dim_as_value dimension_size
        fused_call linear_call multiple_of name platform_index
        stop_gradient thunky.inline_constant xla_metadata_call
        xla_metadata_value""",
}

MERGED = frozenset(
    name for names in _FAMILIES.values() for name in names.split())
