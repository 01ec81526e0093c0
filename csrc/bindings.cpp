// The door to Python: tensors become raw pointers with shapes beside them, and nothing else.
//
// Tensors come and go through DLPack's C exchange (version 1.3), so neither torch's headers nor
// its version matter here, and a tensor costs nanoseconds instead of a Python call.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "elementwise.h"
#include "isa.h"
#include "pool.h"
#include "scratch.h"

namespace nb = nanobind;
using namespace elman;

namespace {

// --- DLPack's exchange table, as its specification lays it out ---

using DLTensor = nb::dlpack::dltensor;

struct ManagedTensor {
  std::uint32_t major, minor;
  void* context;
  void (*deleter)(ManagedTensor*);
  std::uint64_t flags;
  DLTensor tensor;
};

struct Exchange {
  std::uint32_t major, minor;
  Exchange* older;
  void* allocate;
  void* managed_from_object;
  int (*managed_to_object)(ManagedTensor*, void** object);
  int (*view_from_object)(void* object, DLTensor* view);
  void* current_stream;
};

const Exchange* exchange = nullptr;
PyObject* plain_types[2];  // torch.Tensor and Parameter, which live as long as torch does

// Say where torch's tensors come from; returns whether they can be exchanged.
bool connect(nb::handle tensor_type, nb::handle parameter_type) {
  plain_types[0] = tensor_type.ptr();
  plain_types[1] = parameter_type.ptr();
  nb::object capsule = nb::getattr(tensor_type, "__dlpack_c_exchange_api__", nb::none());
  if (capsule.is_none()) return false;
  auto* table = static_cast<Exchange*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  if (table == nullptr) nb::raise_python_error();
  while (table != nullptr && table->major != 1) table = table->older;
  exchange = table;
  return exchange != nullptr;
}

DLTensor view(nb::handle object) {
  DLTensor tensor;
  if (exchange == nullptr || exchange->view_from_object(object.ptr(), &tensor) != 0) {
    if (PyErr_Occurred() == nullptr) throw nb::type_error("expected a torch tensor");
    nb::raise_python_error();
  }
  const bool empty = std::find(tensor.shape, tensor.shape + tensor.ndim, 0) !=
                     tensor.shape + tensor.ndim;
  if (tensor.data == nullptr && !empty) {
    throw std::runtime_error("expected a tensor with memory of its own, got a wrapper without");
  }
  return tensor;
}

template <class T>
T* data(const DLTensor& tensor) {
  return reinterpret_cast<T*>(static_cast<char*>(tensor.data) + tensor.byte_offset);
}

bool is_float(const DLTensor& tensor) {
  return tensor.device.device_type == nb::device::cpu::value &&
         tensor.dtype == nb::dtype<float>();
}

bool is_empty(const DLTensor& tensor) {
  return std::find(tensor.shape, tensor.shape + tensor.ndim, 0) != tensor.shape + tensor.ndim;
}

// Whether the numbers lie one after another, without gaps.
bool is_dense(const DLTensor& tensor) {
  if (is_empty(tensor)) return true;
  std::int64_t size = 1;
  for (int axis = tensor.ndim - 1; axis >= 0; --axis) {
    if (tensor.shape[axis] != 1 && tensor.strides[axis] != size) return false;
    size *= tensor.shape[axis];
  }
  return true;
}

using Shape = std::initializer_list<std::int64_t>;

// Python has made these right; what is not so, through another way to the operators, ends here
// rather than in memory that is not its own.
void expect(bool holds, const char* name, const DLTensor& tensor, const Shape& shape) {
  const auto written = [](const std::int64_t* from, std::size_t count) {
    std::string text = "(";
    for (std::size_t i = 0; i < count; ++i) text += (i > 0 ? ", " : "") + std::to_string(from[i]);
    return text + ")";
  };
  if (holds) return;
  throw std::runtime_error(
      std::string(name) + ": expected a dense float32 tensor on the CPU of shape " +
      written(shape.begin(), shape.size()) + ", got shape " +
      written(tensor.shape, static_cast<std::size_t>(tensor.ndim)) +
      (is_float(tensor) ? "" : " of another type or device"));
}

bool has_shape(const DLTensor& tensor, const Shape& shape) {
  return tensor.ndim == static_cast<int>(shape.size()) &&
         std::equal(shape.begin(), shape.end(), tensor.shape);
}

float* floats(nb::handle object, const char* name, const Shape& shape) {
  if (object.is_none()) return nullptr;
  const DLTensor tensor = view(object);
  expect(is_float(tensor) && is_dense(tensor) && has_shape(tensor, shape), name, tensor, shape);
  return data<float>(tensor);
}

Sequence sequence(nb::handle object, const char* name, const Shape& shape) {
  if (object.is_none()) return {};
  const DLTensor tensor = view(object);
  const bool rows = has_shape(tensor, shape) &&
                    (tensor.strides[2] == 1 || tensor.shape[2] == 1 || is_empty(tensor));
  expect(is_float(tensor) && rows, name, tensor, shape);
  return {data<float>(tensor), tensor.strides[0], tensor.strides[1]};
}

// --- which instruction set ---

const Kernels* kernels = nullptr;
const ElementwiseKernels* elementwise = nullptr;
std::string refusal;

void choose_kernels() {
  const char* wanted = std::getenv("ELMAN_ISA");
  std::string names;
  for (const Isa& isa : isas()) {
    names += (names.empty() ? "" : ", ") + std::string(isa.name);
    if (wanted != nullptr && *wanted != '\0') {
      if (std::string(wanted) != isa.name) continue;
      if (isa.supported) {
        kernels = isa.kernels;
        elementwise = isa.elementwise;
      } else {
        refusal = "ELMAN_ISA=" + std::string(wanted) + ": this processor does not have it";
      }
      return;
    }
    if (isa.supported) {
      kernels = isa.kernels;
      elementwise = isa.elementwise;
      return;
    }
  }
  refusal = "ELMAN_ISA=" + std::string(wanted) + ": unknown here; this build has " + names;
}

const Kernels& engine() {
  if (kernels == nullptr) throw nb::value_error(refusal.c_str());
  return *kernels;
}

// --- calls ---

long gates_of(CellKind kind) {
  switch (kind) {
    case CellKind::rnn_tanh:
    case CellKind::rnn_relu: return 1;
    case CellKind::gru_reset_after:
    case CellKind::gru_reset_before: return 3;
    case CellKind::lstm: break;
  }
  return 4;
}

Weights weights(nb::handle list, const Sizes& s) {
  const std::int64_t rows = gates_of(s.cell) * s.H;
  return {floats(list[0], "weight_ih", {rows, s.I}), floats(list[1], "weight_hh", {rows, s.P}),
          floats(list[2], "bias_ih", {rows}), floats(list[3], "bias_hh", {rows}),
          floats(list[4], "weight_hr", {s.P, s.H}),
          floats(list[5], "norm_ih", {rows}), floats(list[6], "norm_hh", {rows}),
          floats(list[7], "norm_c", {s.H}), floats(list[8], "bias_c", {s.H}),
          floats(list[9], "peephole", {3 * s.H})};
}

// Layer normalisation and peepholes, of a list of weights as above.
void check_additions(CellKind kind, nb::handle list) {
  const auto has = [&](int i) { return !list[i].is_none(); };
  const bool normalized = has(5), lstm = kind == CellKind::lstm;
  if (has(6) != normalized || has(7) != (normalized && lstm) || (has(8) && !has(7))) {
    throw std::runtime_error("norm_ih, norm_hh, of an LSTM norm_c: expected all or none");
  }
  if (normalized && kind == CellKind::gru_reset_before) {
    throw std::runtime_error("norm_ih: expected none for a GRU that resets before the product");
  }
  if (has(9) && !lstm) throw std::runtime_error("peephole: expected for an LSTM only");
}

// (B) of int64 from 0 to T, or null.
const long* checked_lengths(nb::handle lengths, long T, long B) {
  if (lengths.is_none()) return nullptr;
  const DLTensor tensor = view(lengths);
  if (tensor.dtype != nb::dtype<std::int64_t>() || !has_shape(tensor, {B}) || !is_dense(tensor) ||
      tensor.device.device_type != nb::device::cpu::value) {
    throw std::runtime_error("lengths: expected " + std::to_string(B) + " of int64 on the CPU");
  }
  const long* all = data<long>(tensor);
  for (long b = 0; b < B; ++b) {
    if (all[b] < 0 || all[b] > T) {
      throw std::runtime_error("lengths[" + std::to_string(b) + "]: expected 0 to " +
                               std::to_string(T) + ", got " + std::to_string(all[b]));
    }
  }
  return all;
}

// What both passes read. `parts`: x, y, lengths, h0, c0, mask, zone_h, zone_c, kept, weights.
Forward describe(int cell, bool reverse, bool recompute, nb::handle parts) {
  Forward q;
  const DLTensor x = view(parts[0]), h = view(parts[3]), hh = view(parts[9][1]);
  if (x.ndim != 3 || h.ndim != 2 || hh.ndim != 2) {
    throw std::runtime_error("x, h, weight_hh: expected 3, 2 and 2 axes, got " +
                             std::to_string(x.ndim) + ", " + std::to_string(h.ndim) + " and " +
                             std::to_string(hh.ndim));
  }
  const auto kind = static_cast<CellKind>(cell);
  if (cell < 0 || cell > static_cast<int>(CellKind::lstm)) {
    throw std::runtime_error("cell: expected 0 to 4, got " + std::to_string(cell));
  }
  if (parts[4].is_none() == (kind == CellKind::lstm)) {
    throw std::runtime_error("c: expected for an LSTM, and for nothing else");
  }
  if (parts[9][2].is_none() != parts[9][3].is_none()) {
    throw std::runtime_error("bias_ih, bias_hh: expected both or none");
  }
  check_additions(kind, parts[9]);
  q.sizes = {kind,       x.shape[0],  x.shape[1],
             x.shape[2], hh.shape[0] / gates_of(kind), h.shape[1]};
  const auto [unused, T, B, I, H, P] = q.sizes;
  if (P != H && parts[9][4].is_none()) {
    throw std::runtime_error("h: expected " + std::to_string(H) + " features, got " +
                             std::to_string(P));
  }
  q.x = sequence(parts[0], "x", {T, B, I});
  q.y = sequence(parts[1], "y", {T, B, P});
  q.lengths = checked_lengths(parts[2], T, B);
  q.h0 = floats(parts[3], "h", {B, P});
  q.c0 = floats(parts[4], "c", {B, H});
  q.mask = floats(parts[5], "recurrent_mask", {B, P});
  q.zone_h = floats(parts[6], "zoneout (h)", {T, B, P});
  q.zone_c = floats(parts[7], "zoneout (c)", {T, B, H});
  q.weights = weights(parts[9], q.sizes);
  q.reverse = reverse;
  q.recompute = recompute;
  if (!parts[8].is_none()) {
    const DLTensor kept = view(parts[8]);
    std::int64_t slots = q.lengths == nullptr ? T * B : 0;
    for (long b = 0; q.lengths != nullptr && b < B; ++b) slots += q.lengths[b];
    const std::int64_t least = engine().kept_size(q, slots);
    if (!is_float(kept) || !is_dense(kept) || kept.ndim != 1 || kept.shape[0] < least) {
      throw std::runtime_error("kept: expected at least " + std::to_string(least) + " float32");
    }
    q.kept = data<float>(kept);
  }
  return q;
}

void forward(int cell, bool reverse, bool recompute, int threads, bool openmp, nb::handle parts,
             nb::handle h_last, nb::handle c_last) {
  const Kernels& kernels = engine();
  Forward q = describe(cell, reverse, recompute, parts);
  q.h_last = floats(h_last, "h_last", {q.sizes.B, q.sizes.P});
  q.c_last = floats(c_last, "c_last", {q.sizes.B, q.sizes.H});
  const PreferOpenmp prefer(openmp);
  nb::gil_scoped_release release;
  kernels.forward(q, threads);
}

// `gradients`: d_y, d_h_last, d_c_last, d_x, d_h0, d_c0, d_weights.
void backward(int cell, bool reverse, bool recompute, int threads, bool openmp, nb::handle parts,
              nb::handle gradients) {
  const Kernels& kernels = engine();
  const Forward q = describe(cell, reverse, recompute, parts);
  const auto [unused, T, B, I, H, P] = q.sizes;
  Backward g;
  g.d_y = sequence(gradients[0], "the gradient of y", {T, B, P});
  g.d_h_last = floats(gradients[1], "the gradient of h", {B, P});
  g.d_c_last = floats(gradients[2], "the gradient of c", {B, H});
  g.d_x = sequence(gradients[3], "d_x", {T, B, I});
  g.d_h0 = floats(gradients[4], "d_h", {B, P});
  g.d_c0 = floats(gradients[5], "d_c", {B, H});
  g.d_weights = weights(gradients[6], q.sizes);
  const PreferOpenmp prefer(openmp);
  nb::gil_scoped_release release;
  kernels.backward(q, g, threads);
}

// What both passes of an elementwise recurrence read. `parts`: sums, weights, h0, zone, lengths, h.
ElementwiseForward describe_elementwise(int kind, bool reverse, nb::handle parts) {
  if (kind < 0 || kind > static_cast<int>(ElementwiseKind::lru)) {
    throw std::runtime_error("kind: expected 0 to 4, got " + std::to_string(kind));
  }
  const auto [num_sums, num_parts, num_weights] = elementwise_counts[kind];
  const DLTensor sums = view(parts[0]);
  if (sums.ndim != 3 || sums.shape[2] % num_sums != 0) {
    throw std::runtime_error("sums: expected 3 axes, the last a multiple of " +
                             std::to_string(num_sums));
  }
  ElementwiseForward q;
  q.kind = static_cast<ElementwiseKind>(kind);
  q.T = sums.shape[0], q.B = sums.shape[1], q.H = sums.shape[2] / num_sums;
  q.reverse = reverse;
  const long size = num_parts * q.H;
  q.sums = sequence(parts[0], "sums", {q.T, q.B, num_sums * q.H});
  if (parts[1].is_none() != (num_weights == 0)) {
    throw std::runtime_error("weights: expected for this kind, or not");
  }
  q.weights = floats(parts[1], "weights", {num_weights, q.H});
  q.h0 = floats(parts[2], "h", {q.B, size});
  q.zone = floats(parts[3], "zoneout (h)", {q.T, q.B, size});
  q.lengths = checked_lengths(parts[4], q.T, q.B);
  q.h = sequence(parts[5], "states", {q.T, q.B, size});
  return q;
}

void elementwise_forward(int kind, bool reverse, int threads, bool openmp, nb::handle parts,
                         nb::handle h_last) {
  engine();
  ElementwiseForward q = describe_elementwise(kind, reverse, parts);
  const long size = elementwise_counts[kind].parts * q.H;
  q.h_last = floats(h_last, "h_last", {q.B, size});
  const PreferOpenmp prefer(openmp);
  nb::gil_scoped_release release;
  elementwise->forward(q, threads);
}

// `gradients`: d_h, d_h_last, d_sums, d_h0, d_weights.
void elementwise_backward(int kind, bool reverse, int threads, bool openmp, nb::handle parts,
                          nb::handle gradients) {
  engine();
  const ElementwiseForward q = describe_elementwise(kind, reverse, parts);
  const auto [num_sums, num_parts, num_weights] = elementwise_counts[kind];
  const long size = num_parts * q.H;
  ElementwiseBackward g;
  g.d_h = sequence(gradients[0], "the gradient of h", {q.T, q.B, size});
  g.d_h_last = floats(gradients[1], "the gradient of the last h", {q.B, size});
  g.d_sums = sequence(gradients[2], "d_sums", {q.T, q.B, num_sums * q.H});
  g.d_h0 = floats(gradients[3], "d_h", {q.B, size});
  g.d_weights = floats(gradients[4], "d_weights", {q.B, num_weights, q.H});
  const PreferOpenmp prefer(openmp);
  nb::gil_scoped_release release;
  elementwise->backward(q, g, threads);
}

// One step of every layer of a stack, on the weights found in the module's own dictionary.
//
// names: for each layer those of its weights, None for one it does not have. x: (B, I).
// state and fresh: one tensor (L, B, features) or a pair of them; new states go to `fresh`, which
// may be `state`, and the last layer's h also to `y`, unless that is None. Returns where in memory the last layer's h lies; or 0, with nothing done, where
// anything is not as it must be: the general way then says what.
std::uintptr_t step(int cell, nb::tuple names, nb::dict parameters, nb::handle x, nb::handle state,
          nb::handle fresh, nb::handle y) {
  if (exchange == nullptr || kernels == nullptr) return 0;
  const auto kind = static_cast<CellKind>(cell);
  const bool has_c = kind == CellKind::lstm;
  const auto read = [](PyObject* object, DLTensor& tensor) {
    // A subclass of Tensor may mean something else by its numbers, or hold none.
    const auto* type = reinterpret_cast<PyObject*>(Py_TYPE(object));
    if (type != plain_types[0] && type != plain_types[1]) return false;
    if (exchange->view_from_object(object, &tensor) != 0) {
      PyErr_Clear();
      return false;
    }
    return is_float(tensor) && is_dense(tensor);
  };
  const auto part = [&](nb::handle whole, int i) {
    if (!has_c) return i == 0 ? whole.ptr() : nullptr;
    return PyTuple_Check(whole.ptr()) && PyTuple_GET_SIZE(whole.ptr()) == 2
               ? PyTuple_GET_ITEM(whole.ptr(), i)
               : nullptr;
  };

  DLTensor input, old_state[2], new_state[2];
  if (!read(x.ptr(), input) || input.ndim < 1 || input.ndim > 2) return 0;
  const long num_layers = (long)names.size();
  const long B = input.ndim == 2 ? input.shape[0] : 1;
  // Every row reads all the weights: for many, packing them first is faster.
  constexpr long most_rows = 8;
  if (B > most_rows) return 0;
  for (int i = 0; i < (has_c ? 2 : 1); ++i) {
    PyObject *from = part(state, i), *to = part(fresh, i);
    if (from == nullptr || to == nullptr) return 0;
    if (!read(from, old_state[i])) return 0;
    if (to == from) {
      new_state[i] = old_state[i];
    } else if (!read(to, new_state[i])) {
      return 0;
    }
    for (const DLTensor* tensor : {&old_state[i], &new_state[i]}) {
      if (tensor->ndim != input.ndim + 1 || tensor->shape[0] != num_layers) return 0;
      if (tensor->ndim == 3 && tensor->shape[1] != B) return 0;
      if (tensor->shape[tensor->ndim - 1] != old_state[i].shape[input.ndim]) return 0;
    }
  }

  DLTensor output{};
  if (!y.is_none() && (!read(y.ptr(), output) || output.ndim != input.ndim ||
                       output.shape[input.ndim - 1] != old_state[0].shape[input.ndim] ||
                       (input.ndim == 2 && output.shape[0] != B))) {
    return 0;
  }

  // Of one memory for h and c, the general way says that it cannot be overwritten.
  if (has_c && new_state[0].data == new_state[1].data) return 0;

  Sizes s;
  s.cell = kind;
  s.P = old_state[0].shape[input.ndim];
  s.H = has_c ? old_state[1].shape[input.ndim] : s.P;
  s.I = input.shape[input.ndim - 1];
  constexpr long most_layers = 32;
  Weights layers[most_layers];
  if (num_layers > most_layers) return 0;
  const long rows = gates_of(kind) * s.H;
  for (long layer = 0; layer < num_layers; ++layer) {
    struct Size {
      long rows, columns;  // no columns: a vector
    };
    const Size shapes[] = {{rows, layer == 0 ? s.I : s.P}, {rows, s.P}, {rows, 0}, {rows, 0},
                           {s.P, s.H}, {rows, 0}, {rows, 0}, {s.H, 0}, {s.H, 0}, {3 * s.H, 0}};
    Weights& w = layers[layer];
    float** places[] = {&w.ih,      &w.hh,      &w.bias_ih, &w.bias_hh, &w.hr,
                        &w.norm_ih, &w.norm_hh, &w.norm_c,  &w.bias_c,  &w.peephole};
    constexpr int num_weights = sizeof places / sizeof *places;
    for (int i = 0; i < num_weights; ++i) {
      PyObject* name = PyTuple_GET_ITEM(PyTuple_GET_ITEM(names.ptr(), layer), i);
      if (name == Py_None) continue;
      PyObject* weight = PyDict_GetItemWithError(parameters.ptr(), name);
      DLTensor tensor;
      if (weight == nullptr || !read(weight, tensor)) {
        PyErr_Clear();
        return 0;
      }
      const auto [num_rows, num_columns] = shapes[i];
      if (tensor.ndim != (num_columns == 0 ? 1 : 2) || tensor.shape[0] != num_rows) return 0;
      if (num_columns != 0 && tensor.shape[1] != num_columns) return 0;
      *places[i] = data<float>(tensor);
    }
  }
  const float* from = data<float>(input);
  for (long layer = 0; layer < num_layers; ++layer) {
    float* h_new = data<float>(new_state[0]) + layer * B * s.P;
    for (long b = 0; b < B; ++b) {
      const long h = (layer * B + b) * s.P, c = (layer * B + b) * s.H;
      kernels->step(s, layers[layer], from + b * s.I, data<float>(old_state[0]) + h,
                    has_c ? data<float>(old_state[1]) + c : nullptr, h_new + b * s.P,
                    has_c ? data<float>(new_state[1]) + c : nullptr);
    }
    from = h_new;
    s.I = s.P;
  }
  if (!y.is_none()) {
    std::memcpy(data<float>(output), from, sizeof(float) * static_cast<std::size_t>(B * s.P));
  }
  return reinterpret_cast<std::uintptr_t>(from);
}

// A tensor (num_floats) on memory that is used again when the tensor is gone.
nb::object borrow(std::int64_t num_floats) {
  struct Block {
    ManagedTensor managed;
    std::int64_t shape, stride;
  };
  auto* block = new Block{};
  block->shape = num_floats;
  block->stride = 1;
  ManagedTensor& managed = block->managed;
  managed.major = 1;
  managed.minor = exchange->minor;
  managed.context = block;
  managed.deleter = [](ManagedTensor* self) {
    if (self->tensor.data != nullptr) give_scratch(static_cast<float*>(self->tensor.data));
    delete static_cast<Block*>(self->context);
  };
  DLTensor& tensor = managed.tensor;
  try {
    tensor.data = take_scratch(static_cast<std::size_t>(num_floats));
  } catch (...) {
    delete block;
    throw;
  }
  tensor.device = {nb::device::cpu::value, 0};
  tensor.ndim = 1;
  tensor.dtype = nb::dtype<float>();
  tensor.shape = &block->shape;
  tensor.strides = &block->stride;
  tensor.byte_offset = 0;
  void* object = nullptr;
  if (exchange->managed_to_object(&managed, &object) != 0) {
    managed.deleter(&managed);
    nb::raise_python_error();
  }
  return nb::steal(static_cast<PyObject*>(object));
}

std::int64_t kept_size(int cell, long I, long H, long P, long num_real_steps,
                       bool recompute, bool masked, bool zoned, bool normalized) {
  static float present = 0;
  Forward q;
  q.sizes = {static_cast<CellKind>(cell), 0, 0, I, H, P};
  q.recompute = recompute;
  q.mask = masked ? &present : nullptr;
  q.zone_h = zoned ? &present : nullptr;
  q.weights.norm_hh = normalized ? &present : nullptr;
  return engine().kept_size(q, num_real_steps);
}

using Array = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using NewArray = nb::ndarray<nb::numpy, float, nb::ndim<1>>;

template <void (*Kernels::*Map)(const float*, float*, long)>
NewArray map(const Array& from) {
  const std::size_t n = from.shape(0);
  float* to = new float[n];
  const nb::capsule owner(to, [](void* p) noexcept { delete[] static_cast<float*>(p); });
  (engine().*Map)(from.data(), to, static_cast<long>(n));
  return NewArray(to, {n}, owner);
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "The CPU engine's core; elman.engines.native is its user.";
  choose_kernels();
  m.def("connect", &connect, "Take torch.Tensor's exchange table; whether it has one.");
  m.def("refusal", [] { return refusal; }, "Why no instruction set was chosen, or ''.");
  m.def("isa", [] { return std::string(engine().isa); }, "The instruction set in use.");
  m.def("isas", [] {
    nb::dict all;
    for (const Isa& isa : isas()) all[isa.name] = isa.supported;
    return all;
  }, "Each instruction set in this build, fastest first, and whether this machine has it.");
  m.def("connect_openmp", [](const std::string& path) { return connect_openmp(path.c_str()); },
        "Take the OpenMP runtime loaded from there; whether it could be.");
  m.def("forward", &forward, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg().none());
  m.def("backward", &backward);
  m.def("step", &step, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(),
        nb::arg().none());
  m.def("elementwise_forward", &elementwise_forward);
  m.def("elementwise_backward", &elementwise_backward);
  m.def("borrow", &borrow);
  m.def("kept_size", &kept_size);
  m.def("exp", &map<&Kernels::exp>);
  m.def("tanh", &map<&Kernels::tanh>);
  m.def("sigmoid", &map<&Kernels::sigmoid>);
}
