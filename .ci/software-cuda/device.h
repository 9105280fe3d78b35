// What CUDA C++ takes for granted, for kernels that are compiled for the host. Included before every kernel.

#pragma once
#include "runtime.h"

#include <cmath>
#include <initializer_list>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <immintrin.h>

#define __global__
#define __device__
#define __host__
#define __shared__
#define __constant__ static const
#define __forceinline__ inline
#define __noinline__
#define __grid_constant__
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __CUDA_ARCH__ 750

extern "C" {
__attribute__((visibility("default"))) const software_cuda::Runtime *software_cuda_runtime;
}

namespace software_cuda {

static inline Thread &self() { return *software_cuda_runtime->self(); }
static inline char *shared_memory() { return self().shared; }

template <class T> static inline void bring(const T &value) {
    static_assert(sizeof(T) <= SLOT, "too large for a warp to exchange");
    std::memcpy(self().slot, &value, sizeof(T));
}
template <class T> static inline T of_lane(unsigned lane) {
    T value;
    std::memcpy(&value, self().warp->slots[lane % WARP], sizeof(T));
    return value;
}

template <class T, class P> static inline void atomic_add(T *before, P *to, T value) {
    T after, *target = reinterpret_cast<T *>(uintptr_t(to));
    __atomic_load(target, before, __ATOMIC_RELAXED);
    do after = *before + value;
    while (!__atomic_compare_exchange(target, before, &after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

template <class T> static inline unsigned bits(T value) {
    static_assert(sizeof(T) == 4, "a register");
    unsigned result;
    std::memcpy(&result, &value, 4);
    return result;
}

// What is asynchronous on a GPU has happened at once; bytes beyond those that are read become zeros.
template <int N, class P> static inline void copy_async(unsigned to, P *from, unsigned count = N) {
    std::memset(shared_memory() + to, 0, N);
    std::memcpy(shared_memory() + to, reinterpret_cast<const void *>(uintptr_t(from)), count < N ? count : N);
}

// Takes a call apart: real drivers copy the arguments of a kernel at its launch.
template <class... A> struct Packed {
    std::tuple<A...> arguments;
    void (*kernel)(A...);
};
template <class... A, size_t... I>
static void *pack(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
    return new Packed<A...>{std::tuple<A...>(*static_cast<A *>(arguments[I])...), kernel};
}
template <class... A> static void *pack(void (*kernel)(A...), void **arguments) {
    return pack(kernel, arguments, std::index_sequence_for<A...>());
}
template <class... A> static void run(void (*)(A...), void *packed) {
    auto call = static_cast<Packed<A...> *>(packed);
    std::apply(call->kernel, call->arguments);
}
template <class... A> static void drop(void (*)(A...), void *packed) { delete static_cast<Packed<A...> *>(packed); }

} // namespace software_cuda

#define SOFTWARE_CUDA_KERNEL(name)                                                                                     \
    extern "C" __attribute__((visibility("default"))) void *software_cuda_pack(void **arguments) {                     \
        return software_cuda::pack(&name, arguments);                                                                  \
    }                                                                                                                  \
    extern "C" __attribute__((visibility("default"))) void software_cuda_run(void *packed) {                           \
        software_cuda::run(&name, packed);                                                                             \
    }                                                                                                                  \
    extern "C" __attribute__((visibility("default"))) void software_cuda_drop(void *packed) {                          \
        software_cuda::drop(&name, packed);                                                                            \
    }

// ---- Where a thread is

struct uint3 { unsigned x, y, z; };
#define threadIdx (software_cuda::self().thread)
#define blockIdx (software_cuda::self().block)
#define blockDim (software_cuda::self().block_dim)
#define gridDim (software_cuda::self().grid_dim)
constexpr int warpSize = 32;

// ---- Together

static inline void __syncthreads() { software_cuda_runtime->sync_block(); }
static inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void __threadfence_block() {}
#define COLLECTIVE static inline __attribute__((always_inline))
COLLECTIVE void __syncwarp(unsigned = 0) { software_cuda_runtime->sync_warp(nullptr); }
COLLECTIVE unsigned __activemask() {
    software_cuda_runtime->sync_warp(nullptr);
    return software_cuda::self().warp->mask;
}
COLLECTIVE unsigned __ballot_sync(unsigned, bool value) {
    software_cuda::bring(value);
    software_cuda_runtime->sync_warp(nullptr);
    unsigned votes = 0, mask = software_cuda::self().warp->mask;
    for (unsigned lane = 0; lane < 32; ++lane)
        if (mask >> lane & 1 && software_cuda::of_lane<bool>(lane)) votes |= 1u << lane;
    return votes;
}
COLLECTIVE bool __any_sync(unsigned mask, bool value) { return __ballot_sync(mask, value) != 0; }
COLLECTIVE bool __all_sync(unsigned mask, bool value) { return __ballot_sync(mask, !value) == 0; }
template <class T> COLLECTIVE T __shfl_sync(unsigned, T value, unsigned lane) {
    software_cuda::bring(value);
    software_cuda_runtime->sync_warp(nullptr);
    return software_cuda::of_lane<T>(lane);
}
template <class T> COLLECTIVE T __shfl_xor_sync(unsigned mask, T value, unsigned with) {
    return __shfl_sync(mask, value, software_cuda::self().lane ^ with);
}
template <class T> COLLECTIVE T __shfl_up_sync(unsigned mask, T value, unsigned by) {
    unsigned lane = software_cuda::self().lane;
    return __shfl_sync(mask, value, lane >= by ? lane - by : lane);
}
template <class T> COLLECTIVE T __shfl_down_sync(unsigned mask, T value, unsigned by) {
    unsigned lane = software_cuda::self().lane;
    return __shfl_sync(mask, value, lane + by < 32 ? lane + by : lane);
}

// ---- Arithmetic

using std::abs; using std::isnan; using std::isinf; using std::isfinite;
using std::exp; using std::log; using std::log1p; using std::expm1; using std::sqrt; using std::pow; using std::floor;
using std::ceil; using std::round; using std::trunc; using std::fma; using std::tanh; using std::sin; using std::cos;
template <class A, class B> static inline auto max(A a, B b) -> typename std::common_type<A, B>::type { return a > b ? a : b; }
template <class A, class B> static inline auto min(A a, B b) -> typename std::common_type<A, B>::type { return a < b ? a : b; }
// NaN loses, as on a GPU.
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline float min(float a, float b) { return fminf(a, b); }
static inline float rsqrt(float x) { return 1.0f / sqrtf(x); }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
#define __expf expf
#define __logf logf
#define __powf powf
#define __sinf sinf
#define __cosf cosf
static inline float __fdividef(float x, float y) { return x / y; }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
static inline int __mulhi(int a, int b) { return int(int64_t(a) * b >> 32); }
static inline float __uint_as_float(unsigned x) { float y; std::memcpy(&y, &x, 4); return y; }
static inline unsigned __float_as_uint(float x) { unsigned y; std::memcpy(&y, &x, 4); return y; }
static inline float __int_as_float(int x) { return __uint_as_float(unsigned(x)); }
static inline int __float_as_int(float x) { return int(__float_as_uint(x)); }

// ---- Halves: computed in single precision, rounded once, as on a GPU

namespace software_cuda {
struct HalfBits {
    static uint16_t of(float x) { return _cvtss_sh(x, 0); }
    static float value(uint16_t bits) { return _cvtsh_ss(bits); }
};
struct BrainBits {
    static uint16_t of(float x) {
        unsigned bits = __float_as_uint(x);
        if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
        return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
    static float value(uint16_t bits) { return __uint_as_float(unsigned(bits) << 16); }
};
template <class Bits> struct alignas(2) Half {
    uint16_t bits;
    Half() = default;
    template <class T, class = std::enable_if_t<std::is_arithmetic<T>::value>> Half(T x) : bits(Bits::of(float(x))) {}
    template <class Other> explicit Half(Half<Other> x) : bits(Bits::of(float(x))) {}
    operator float() const { return Bits::value(bits); }
    Half operator-() const { return Half(-float(*this)); }
    Half &operator+=(Half o) { return *this = Half(float(*this) + float(o)); }
    Half &operator-=(Half o) { return *this = Half(float(*this) - float(o)); }
    Half &operator*=(Half o) { return *this = Half(float(*this) * float(o)); }
    Half &operator/=(Half o) { return *this = Half(float(*this) / float(o)); }
};
template <class Bits> struct alignas(4) Pair {
    Half<Bits> x, y;
};
#define HALF_OPERATOR(op)                                                                                              \
    template <class B> static inline Half<B> operator op(Half<B> a, Half<B> b) { return Half<B>(float(a) op float(b)); } \
    template <class B> static inline Pair<B> operator op(Pair<B> a, Pair<B> b) { return {a.x op b.x, a.y op b.y}; }
HALF_OPERATOR(+)
HALF_OPERATOR(-)
HALF_OPERATOR(*)
HALF_OPERATOR(/)
#define HALF_COMPARISON(op)                                                                                            \
    template <class B> static inline bool operator op(Half<B> a, Half<B> b) { return float(a) op float(b); }
HALF_COMPARISON(<)
HALF_COMPARISON(>)
HALF_COMPARISON(<=)
HALF_COMPARISON(>=)
HALF_COMPARISON(==)
HALF_COMPARISON(!=)
} // namespace software_cuda

typedef software_cuda::Half<software_cuda::HalfBits> __half;
typedef software_cuda::Half<software_cuda::BrainBits> __nv_bfloat16;
typedef software_cuda::Pair<software_cuda::HalfBits> __half2;
typedef software_cuda::Pair<software_cuda::BrainBits> __nv_bfloat162;
static inline __half __float2half(float x) { return __half(x); }
static inline __half __float2half_rn(float x) { return __half(x); }
static inline float __half2float(__half x) { return float(x); }
static inline __nv_bfloat16 __float2bfloat16(float x) { return __nv_bfloat16(x); }
static inline __nv_bfloat16 __float2bfloat16_rn(float x) { return __nv_bfloat16(x); }
static inline float __bfloat162float(__nv_bfloat16 x) { return float(x); }
#define HALF_FUNCTION(name, compute)                                                                                   \
    template <class B> static inline software_cuda::Half<B> h##name(software_cuda::Half<B> a) {                        \
        return software_cuda::Half<B>(compute(float(a)));                                                              \
    }                                                                                                                  \
    template <class B> static inline software_cuda::Pair<B> h2##name(software_cuda::Pair<B> a) {                       \
        return {h##name(a.x), h##name(a.y)};                                                                           \
    }
HALF_FUNCTION(exp, expf)
HALF_FUNCTION(log, logf)
HALF_FUNCTION(sqrt, sqrtf)
HALF_FUNCTION(rsqrt, rsqrtf)
HALF_FUNCTION(tanh, tanhf)
HALF_FUNCTION(sin, sinf)
HALF_FUNCTION(cos, cosf)
HALF_FUNCTION(floor, floorf)
HALF_FUNCTION(ceil, ceilf)
HALF_FUNCTION(trunc, truncf)
HALF_FUNCTION(rcp, __frcp_rn)
#define HALF_PAIRWISE(name, compute)                                                                                   \
    template <class B> static inline software_cuda::Half<B> __h##name(software_cuda::Half<B> a, software_cuda::Half<B> b) { \
        return software_cuda::Half<B>(compute(float(a), float(b)));                                                    \
    }                                                                                                                  \
    template <class B> static inline software_cuda::Pair<B> __h##name##2(software_cuda::Pair<B> a, software_cuda::Pair<B> b) { \
        return {__h##name(a.x, b.x), __h##name(a.y, b.y)};                                                             \
    }
HALF_PAIRWISE(max, fmaxf)
HALF_PAIRWISE(min, fminf)
template <class B> static inline software_cuda::Half<B> __hfma(software_cuda::Half<B> a, software_cuda::Half<B> b, software_cuda::Half<B> c) {
    return software_cuda::Half<B>(double(float(a)) * float(b) + float(c));
}
template <class B> static inline software_cuda::Pair<B> __hfma2(software_cuda::Pair<B> a, software_cuda::Pair<B> b, software_cuda::Pair<B> c) {
    return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}
template <class B> static inline software_cuda::Half<B> __habs(software_cuda::Half<B> a) { return software_cuda::Half<B>(fabsf(float(a))); }
template <class B> static inline software_cuda::Pair<B> __habs2(software_cuda::Pair<B> a) { return {__habs(a.x), __habs(a.y)}; }

// ---- Matrix units

namespace nvcuda {
namespace wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
namespace precision {
struct tf32 {};
} // namespace precision
enum layout_t { mem_row_major, mem_col_major };

template <class T> struct element { using type = T; };
template <> struct element<precision::tf32> { using type = float; };

template <class Use, int M, int N, int K> struct shape;
template <int M, int N, int K> struct shape<matrix_a, M, N, K> { static constexpr int rows = M, columns = K; };
template <int M, int N, int K> struct shape<matrix_b, M, N, K> { static constexpr int rows = K, columns = N; };
template <int M, int N, int K> struct shape<accumulator, M, N, K> { static constexpr int rows = M, columns = N; };

// Element `i` of lane `l` is element `i * 32 + l` of the matrix, row by row.
template <class Use, int M, int N, int K, class T, class Layout = void> struct fragment {
    using value = typename element<T>::type;
    static constexpr int rows = shape<Use, M, N, K>::rows, columns = shape<Use, M, N, K>::columns;
    static constexpr int num_elements = rows * columns / 32;
    value x[num_elements];
};

template <class F, class V> static inline void fill_fragment(F &f, V value) {
    for (auto &x : f.x) x = typename F::value(value);
}
template <class F, class P> static inline void load(F &f, const P *from, unsigned stride, bool by_rows) {
    unsigned lane = software_cuda::self().lane;
    for (int i = 0; i < F::num_elements; ++i) {
        int at = i * 32 + lane, row = at / F::columns, column = at % F::columns;
        f.x[i] = by_rows ? from[row * stride + column] : from[column * stride + row];
    }
}
template <class Use, int M, int N, int K, class T, class L, class P>
COLLECTIVE void load_matrix_sync(fragment<Use, M, N, K, T, L> &f, const P *from, unsigned stride) {
    software_cuda_runtime->sync_warp(nullptr);
    load(f, from, stride, std::is_same<L, row_major>::value);
}
template <int M, int N, int K, class T, class P>
COLLECTIVE void load_matrix_sync(fragment<accumulator, M, N, K, T> &f, const P *from, unsigned stride, layout_t layout) {
    software_cuda_runtime->sync_warp(nullptr);
    load(f, from, stride, layout == mem_row_major);
}
template <int M, int N, int K, class T, class P>
COLLECTIVE void store_matrix_sync(P *to, const fragment<accumulator, M, N, K, T> &f, unsigned stride, layout_t layout) {
    using F = fragment<accumulator, M, N, K, T>;
    unsigned lane = software_cuda::self().lane;
    for (int i = 0; i < F::num_elements; ++i) {
        int at = i * 32 + lane, row = at / F::columns, column = at % F::columns;
        (layout == mem_row_major ? to[row * stride + column] : to[column * stride + row]) = f.x[i];
    }
    software_cuda_runtime->sync_warp(nullptr);
}

// What a matrix unit reads of a factor: TF32 keeps ten bits of the fraction.
template <class T> static inline double factor(typename element<T>::type x) {
    if (std::is_same<T, precision::tf32>::value) return __uint_as_float(__float_as_uint(float(x)) & 0xffffe000u);
    return double(x);
}

// Products are exact; a sum of four and what was there before is cut, not rounded, to the bits that the largest of
// them leaves: as the least exact matrix units do.
static inline float cut_sum(float start, const double *products, int count) {
    double largest = std::fabs(double(start));
    for (int i = 0; i < count; ++i) largest = std::fmax(largest, std::fabs(products[i]));
    if (!(largest > 0) || std::isinf(largest)) {
        double sum = start;
        for (int i = 0; i < count; ++i) sum += products[i];
        return float(sum);
    }
    double unit = std::ldexp(1.0, std::ilogb(largest) - 24);
    double sum = std::trunc(start / unit);
    for (int i = 0; i < count; ++i) sum += std::trunc(products[i] / unit);
    sum *= unit;
    float rounded = float(sum);
    if (std::fabs(double(rounded)) > std::fabs(sum)) rounded = std::nextafterf(rounded, 0.0f);
    return rounded;
}

static inline float __float_to_tf32(float x) {
    // To the nearest of those with ten bits, ties away from zero.
    return std::isfinite(x) ? __uint_as_float((__float_as_uint(x) + 0x1000u) & 0xffffe000u) : x;
}

template <class A, class B, class C, class D> struct Multiply {
    const A *a;
    const B *b;
    const C *c;
    D *d;
};
template <int M, int N, int K, class TA, class LA, class TB, class LB, class TC, class TD> struct Multiplication {
    using A = fragment<matrix_a, M, N, K, TA, LA>;
    using B = fragment<matrix_b, M, N, K, TB, LB>;
    using C = fragment<accumulator, M, N, K, TC>;
    using D = fragment<accumulator, M, N, K, TD>;
    using Parts = Multiply<A, B, C, D>;
    static void together(software_cuda::Warp &warp) {
        if (warp.mask != 0xffffffffu) __builtin_trap();
        Parts parts[32];
        for (int lane = 0; lane < 32; ++lane) std::memcpy(&parts[lane], warp.slots[lane], sizeof(Parts));
        double a[M][K], b[K][N];
        for (int i = 0; i < M * K; ++i) a[i / K][i % K] = factor<TA>(parts[i % 32].a->x[i / 32]);
        for (int i = 0; i < K * N; ++i) b[i / N][i % N] = factor<TB>(parts[i % 32].b->x[i / 32]);
        for (int i = 0; i < M * N; ++i) {
            auto start = parts[i % 32].c->x[i / 32];
            if (std::is_integral<TC>::value) {
                long long sum = (long long)start;
                for (int k = 0; k < K; ++k) sum += (long long)(a[i / N][k] * b[k][i % N]);
                parts[i % 32].d->x[i / 32] = TD(int(sum));
                continue;
            }
            float sum = float(start);
            for (int k = 0; k < K; k += 4) {
                double products[4];
                for (int j = 0; j < 4; ++j) products[j] = a[i / N][k + j] * b[k + j][i % N];
                sum = cut_sum(sum, products, 4);
            }
            parts[i % 32].d->x[i / 32] = TD(sum);
        }
    }
};
template <int M, int N, int K, class TA, class LA, class TB, class LB, class TC, class TD>
COLLECTIVE void mma_sync(fragment<accumulator, M, N, K, TD> &d, const fragment<matrix_a, M, N, K, TA, LA> &a,
                         const fragment<matrix_b, M, N, K, TB, LB> &b, const fragment<accumulator, M, N, K, TC> &c) {
    using This = Multiplication<M, N, K, TA, LA, TB, LB, TC, TD>;
    software_cuda::bring(typename This::Parts{&a, &b, &c, &d});
    software_cuda_runtime->sync_warp(This::together);
}

} // namespace wmma
} // namespace nvcuda

// The instruction mma.sync, whose lanes hold their parts of the matrices as PTX lays them out.
namespace software_cuda {
namespace units {
// How many values a register holds, and the value of each.
struct tf32 {
    static constexpr int per_register = 1;
    static double value(unsigned bits, int) { return nvcuda::wmma::factor<nvcuda::wmma::precision::tf32>(__uint_as_float(bits)); }
};
struct f16 {
    static constexpr int per_register = 2;
    static double value(unsigned bits, int i) { return HalfBits::value(uint16_t(bits >> (16 * i))); }
};
struct bf16 {
    static constexpr int per_register = 2;
    static double value(unsigned bits, int i) { return BrainBits::value(uint16_t(bits >> (16 * i))); }
};
} // namespace units

struct Registers {
    unsigned a[4], b[2];
    float c[4];
};
template <int K, class Unit> struct MmaSync {
    static void together(Warp &warp) {
        if (warp.mask != 0xffffffffu) __builtin_trap();
        constexpr int P = Unit::per_register;
        static_assert(K == 8 * P, "registers of other shapes are laid out differently");
        double a[16][K], b[K][8];
        Registers lanes[32];
        for (int lane = 0; lane < 32; ++lane) {
            std::memcpy(&lanes[lane], warp.slots[lane], sizeof(Registers));
            int group = lane / 4, within = lane % 4;
            for (int i = 0; i < P; ++i) {
                for (int r = 0; r < 4; ++r)
                    a[group + 8 * (r % 2)][within * P + i + 4 * P * (r / 2)] = Unit::value(lanes[lane].a[r], i);
                for (int r = 0; r < 2; ++r) b[within * P + i + 4 * P * r][group] = Unit::value(lanes[lane].b[r], i);
            }
        }
        for (int lane = 0; lane < 32; ++lane) {
            float d[4];
            for (int r = 0; r < 4; ++r) {
                int row = lane / 4 + 8 * (r / 2), column = lane % 4 * 2 + r % 2;
                d[r] = lanes[lane].c[r];
                for (int k = 0; k < K; k += 4) {
                    double products[4];
                    for (int j = 0; j < 4; ++j) products[j] = a[row][k + j] * b[k + j][column];
                    d[r] = nvcuda::wmma::cut_sum(d[r], products, 4);
                }
            }
            std::memcpy(warp.slots[lane], d, sizeof d);
        }
    }
};
template <int K, class Unit>
COLLECTIVE void mma_sync(std::initializer_list<float *> out, std::initializer_list<unsigned> in) {
    bring(*reinterpret_cast<const Registers *>(in.begin()));
    software_cuda_runtime->sync_warp(MmaSync<K, Unit>::together);
    struct Four { float values[4]; };
    Four result = of_lane<Four>(self().lane);
    for (int r = 0; r < 4; ++r) *out.begin()[r] = result.values[r];
}
} // namespace software_cuda

static inline unsigned __cvta_generic_to_shared(const void *pointer) {
    return unsigned(static_cast<const char *>(pointer) - software_cuda::shared_memory());
}
