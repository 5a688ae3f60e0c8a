// libcuda.so.1 without a GPU: CUDA's driver on the processor, for tests.
//
// A stream is a thread that takes its work in order, some random moment later. Copies happen then, in two halves, and
// not when they are asked for, so whoever touches a buffer too early or too late sees a torn picture. All that lives on
// the "GPU" is counted. A call that real CUDA forgives or answers with a crash is told on stderr and counted as misuse.
//
// What is not simulated: kernels (but for one, which inverts pixels), speed, and that freeing memory waits for the work
// that uses it: here that is a misuse. The functions that begin with `simulated_` are for tests; so are these variables:
//   SIMULATED_CUDA_REPORT           a file that gets the counts as JSON when the process ends
//   SIMULATED_CUDA_DEVICE_BYTES     memory of the GPU (default 1 GiB)
//   SIMULATED_CUDA_HOST_BYTES       page-locked memory that the system lends (default 1 GiB)
//   SIMULATED_CUDA_LOSE_AFTER       the GPU is lost after so many copies
//   SIMULATED_CUDA_LOSE_CONTEXT     then taking a context off a thread fails too
//   SIMULATED_CUDA_INIT_ERROR       what the driver answers to its first call
//   SIMULATED_CUDA_DRIVER_VERSION   the CUDA that it reaches (default 13000)
//   SIMULATED_CUDA_CAPABILITY       of the GPU (default 86)
//   SIMULATED_CUDA_HOLD_KERNELS     kernels do not end as long as it is set
// All but the first may be changed later, by `simulated_set` with the rest of the name.
#include <cuda.h>
#include <dlfcn.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using Work = std::function<void()>;

struct Settings {
  std::mutex mutex;
  std::map<std::string, size_t> changed;
};

Settings& settings() {
  static Settings* only = new Settings;
  return *only;
}

size_t setting(const std::string& name, size_t otherwise) {
  std::lock_guard<std::mutex> hold(settings().mutex);
  const auto found = settings().changed.find(name);
  if (found != settings().changed.end()) return found->second;
  const char* value = std::getenv(("SIMULATED_CUDA_" + name).c_str());
  return value ? std::strtoull(value, nullptr, 10) : otherwise;
}

// Something that happens once, and that others wait for.
class Mark {
 public:
  void set() {
    std::lock_guard<std::mutex> hold(mutex_);
    done_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock<std::mutex> hold(mutex_);
    changed_.wait(hold, [this] { return done_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
};

// A moment that nobody can rely on; the same ones in every run, in the order in which threads begin.
void dawdle() {
  static std::atomic<unsigned> threads{0};
  thread_local std::mt19937 random(threads++);
  const unsigned choice = random() % 8;
  if (choice < 3) std::this_thread::sleep_for(std::chrono::microseconds(choice * 150));
}

// Work in order, in a thread of its own. While it is captured, work is kept and does not run.
class Stream {
 public:
  Stream() { std::thread([this] { serve(); }).detach(); }

  void put(Work work) {
    std::lock_guard<std::mutex> hold(mutex_);
    if (capturing) {
      captured.push_back(std::move(work));
    } else {
      waiting_.push_back(std::move(work));
      changed_.notify_all();
    }
  }

  // Takes no more work; what was put is still done.
  void end() {
    std::lock_guard<std::mutex> hold(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  bool capturing = false;
  bool capture_broken = false;
  std::vector<Work> captured;

 private:
  void serve() {
    for (;;) {
      Work work;
      {
        std::unique_lock<std::mutex> hold(mutex_);
        changed_.wait(hold, [this] { return ended_ || !waiting_.empty(); });
        if (waiting_.empty()) break;
        work = std::move(waiting_.front());
        waiting_.pop_front();
      }
      dawdle();
      work();
    }
    delete this;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> waiting_;
  bool ended_ = false;
};

struct Event {
  bool blocks;                 // a thread that waits for it sleeps; else it spins on a core
  std::shared_ptr<Mark> mark;  // of the last time that it was recorded
};

struct Graph {
  std::vector<Work> work;
};

// What a stream did, and when.
struct Span {
  const char* what;
  std::chrono::steady_clock::time_point start, end;
};

// Blocks of memory by address, of which only so much may be taken.
class Memory {
 public:
  Memory(std::string limit, unsigned char filling) : limit_(std::move(limit)), filling_(filling) {}

  void* take(size_t size) {
    if (size == 0 || used_ + size > setting(limit_, size_t{1} << 30)) return nullptr;
    auto* block = static_cast<unsigned char*>(aligned_alloc(4096, (size + 4095) / 4096 * 4096));
    std::memset(block, filling_, size);
    blocks_[block] = size;
    used_ += size;
    return block;
  }
  bool give_back(void* address) {
    const auto found = blocks_.find(static_cast<unsigned char*>(address));
    if (found == blocks_.end()) return false;
    used_ -= found->second;
    std::free(found->first);
    blocks_.erase(found);
    return true;
  }
  bool holds(const void* address, size_t size) const {
    auto* first = static_cast<unsigned char*>(const_cast<void*>(address));
    auto found = blocks_.upper_bound(first);
    if (found == blocks_.begin()) return false;
    --found;
    return first + size <= found->first + found->second;
  }
  size_t count() const { return blocks_.size(); }
  size_t used() const { return used_; }

 private:
  std::map<unsigned char*, size_t> blocks_;
  size_t used_ = 0;
  std::string limit_;  // the setting that tells it
  unsigned char filling_;
};

struct Driver {
  std::mutex mutex;  // guards all below it but the atomics; a half of a copy holds it, so that nothing is freed under it
  Memory device{"DEVICE_BYTES", 0xA5};
  Memory host{"HOST_BYTES", 0xCD};
  std::set<Stream*> streams;
  std::set<Event*> events;
  std::set<Graph*> graphs;
  std::set<Graph*> executables;
  std::vector<Span> spans;  // since they were last asked for
  int retained = 0;
  std::atomic<int> lost{0};  // the error that every call answers from then on
  std::atomic<bool> context_lost{false};
  std::atomic<int> misuses{0};
  std::atomic<int> made{0};  // pieces of memory, streams and events, ever
  std::atomic<int> copies{0};
  std::atomic<int> graph_launches{0};
  std::atomic<int> spinning_waits{0};
  std::atomic<int> sleeping_waits{0};
};

// Never freed: streams still run while the process ends.
Driver& driver() {
  static Driver* only = new Driver;
  return *only;
}

thread_local std::vector<CUcontext> current;  // the contexts that this thread pushed
thread_local Stream* captures = nullptr;      // what this thread captures

void misuse(const std::string& what) {
  driver().misuses++;
  std::fprintf(stderr, "simulated CUDA: misuse: %s\n", what.c_str());
}

CUresult check() {
  if (current.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  return static_cast<CUresult>(driver().lost.load());
}

// Every call that needs a context, and a GPU that is there, begins with this.
#define NEEDS_GPU()                                      \
  if (const CUresult refused = check()) return refused; \
  std::unique_lock<std::mutex> hold(driver().mutex)

// What a capture does not permit breaks it, as on a GPU.
#define NOT_CAPTURED()                            \
  if (captures) {                                 \
    captures->capture_broken = true;              \
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED; \
  }

template <class Thing>
bool is_there(const std::set<Thing*>& things, const void* handle, const char* call) {
  if (things.count(static_cast<Thing*>(const_cast<void*>(handle)))) return true;
  misuse(std::string(call) + " of something that was freed or never made");
  return false;
}

#define NEEDS(things, handle) \
  if (!is_there(driver().things, handle, __func__)) return CUDA_ERROR_INVALID_HANDLE

template <class Thing>
CUresult destroy(std::set<Thing*>& things, const void* handle, const char* call) {
  NEEDS_GPU();
  if (!is_there(things, handle, call)) return CUDA_ERROR_INVALID_HANDLE;
  auto* thing = static_cast<Thing*>(const_cast<void*>(handle));
  things.erase(thing);
  delete thing;
  return CUDA_SUCCESS;
}

void lose(int error, bool context_too) {
  driver().context_lost = context_too;
  driver().lost = error;
}

// `work`, and the time that it took.
Work timed(const char* what, Work work) {
  return [=] {
    const auto start = std::chrono::steady_clock::now();
    work();
    std::lock_guard<std::mutex> hold(driver().mutex);
    driver().spans.push_back({what, start, std::chrono::steady_clock::now()});
  };
}

CUresult begin_copy(Stream* stream, void* to, const void* from, size_t size, const void* host, const void* device) {
  Driver& all = driver();
  if (!all.host.holds(host, size)) {
    misuse("a copy that runs by itself, and host memory that is not page-locked or too small");
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (!all.device.holds(device, size)) {
    misuse("a copy beyond its memory on the GPU");
    return CUDA_ERROR_INVALID_VALUE;
  }
  stream->put(timed(host == from ? "copy in" : "copy out", [=] {
    const size_t half = size / 2;
    for (const auto& [first, length] : {std::pair{size_t{0}, half}, std::pair{half, size - half}}) {
      {
        std::lock_guard<std::mutex> hold(driver().mutex);
        if (!driver().host.holds(host, size) || !driver().device.holds(device, size)) {
          misuse("memory was freed before its copy was done");
          return;
        }
        std::memcpy(static_cast<char*>(to) + first, static_cast<const char*>(from) + first, length);
      }
      dawdle();
    }
  }));
  const int limit = static_cast<int>(setting("LOSE_AFTER", 0));
  if (++all.copies == limit) lose(CUDA_ERROR_LAUNCH_FAILED, setting("LOSE_CONTEXT", 0));
  return CUDA_SUCCESS;
}

std::string counts() {
  Driver& all = driver();
  std::lock_guard<std::mutex> hold(all.mutex);
  std::string text = "{";
  const std::pair<const char*, size_t> entries[] = {
      {"device_memory", all.device.count()},
      {"host_memory", all.host.count()},
      {"device_bytes", all.device.used()},
      {"host_bytes", all.host.used()},
      {"streams", all.streams.size()},
      {"events", all.events.size()},
      {"graphs", all.graphs.size()},
      {"executables", all.executables.size()},
      {"contexts", static_cast<size_t>(all.retained)},
      {"misuses", static_cast<size_t>(all.misuses)},
      {"made", static_cast<size_t>(all.made)},
      {"copies", static_cast<size_t>(all.copies)},
      {"graph_launches", static_cast<size_t>(all.graph_launches)},
      {"spinning_waits", static_cast<size_t>(all.spinning_waits)},
      {"sleeping_waits", static_cast<size_t>(all.sleeping_waits)},
  };
  for (const auto& [name, count] : entries) {
    text += (text.size() > 1 ? ", \"" : "\"") + std::string(name) + "\": " + std::to_string(count);
  }
  return text + "}";
}

__attribute__((destructor)) void report() {
  if (const char* path = std::getenv("SIMULATED_CUDA_REPORT")) {
    if (FILE* file = std::fopen(path, "w")) {
      std::fputs(counts().c_str(), file);
      std::fclose(file);
    }
  }
}

}  // namespace

// ---- for tests

EXPORT void simulated_lose(int error, int context_too) { lose(error, context_too); }

EXPORT void simulated_set(const char* name, size_t value) {
  std::lock_guard<std::mutex> hold(settings().mutex);
  settings().changed[name] = value;
}

EXPORT void simulated_counts(char* text, size_t size) { std::snprintf(text, size, "%s", counts().c_str()); }

// The spans since the last call, as JSON: [what, start, end] in nanoseconds.
EXPORT void simulated_spans(char* text, size_t size) {
  std::lock_guard<std::mutex> hold(driver().mutex);
  std::string all;
  for (const Span& span : driver().spans) {
    all += std::string(all.empty() ? "[\"" : ", [\"") + span.what + "\"";
    for (const auto& time : {span.start, span.end}) {
      all += ", " + std::to_string(std::chrono::nanoseconds(time.time_since_epoch()).count());
    }
    all += "]";
  }
  driver().spans.clear();
  std::snprintf(text, size, "[%s]", all.c_str());
}

// The one kernel. stylized = frame + strength * (255 - 2 * frame); a style's first number is a share of white instead.
// With a memory, 0.95 * mask / 255 of what is painted is `previous`.
EXPORT CUresult simulated_invert(CUstream stream, CUdeviceptr frame, CUdeviceptr strength, CUdeviceptr style,
                                 CUdeviceptr stylized, CUdeviceptr previous, CUdeviceptr mask, CUdeviceptr painted,
                                 size_t size, unsigned delay_us) {
  NEEDS_GPU();
  NEEDS(streams, stream);
  reinterpret_cast<Stream*>(stream)->put(timed("compute", [=] {
    do {
      std::this_thread::sleep_for(std::chrono::microseconds(delay_us));
    } while (setting("HOLD_KERNELS", 0));
    std::lock_guard<std::mutex> hold(driver().mutex);
    const auto address = [](CUdeviceptr pointer) { return reinterpret_cast<void*>(pointer); };
    const Memory& device = driver().device;
    bool holds = device.holds(address(frame), size) && device.holds(address(stylized), size) &&
                 device.holds(address(strength), sizeof(float)) &&
                 (!style || device.holds(address(style), sizeof(float)));
    for (const CUdeviceptr pointer : {previous, mask, painted}) {
      holds = holds && (!pointer || device.holds(address(pointer), size));
    }
    if (!holds) {
      misuse("a kernel on memory that is not there");
      return;
    }
    const auto* from = static_cast<const unsigned char*>(address(frame));
    auto* to = static_cast<unsigned char*>(address(stylized));
    const float amount = *static_cast<const float*>(address(strength));
    const float white = style ? *static_cast<const float*>(address(style)) : 0;
    const auto* before = static_cast<const unsigned char*>(address(previous));
    const auto* trust = static_cast<const unsigned char*>(address(mask));
    auto* kept = static_cast<unsigned char*>(address(painted));
    for (size_t index = 0; index < size; index++) {
      const float inverted = 255.0f - from[index];
      float full = inverted + white * (255.0f - inverted);
      if (kept) {
        full += 0.95f * trust[index] / 255.0f * (before[index] - full);
        kept[index] = static_cast<unsigned char>(full + 0.5f);
      }
      to[index] = static_cast<unsigned char>(from[index] + amount * (full - from[index]) + 0.5f);
    }
  }));
  return CUDA_SUCCESS;
}

// ---- the driver and the device

EXPORT CUresult cuInit(unsigned) { return static_cast<CUresult>(setting("INIT_ERROR", CUDA_SUCCESS)); }

EXPORT CUresult cuDriverGetVersion(int* version) {
  *version = static_cast<int>(setting("DRIVER_VERSION", 13000));
  return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetCount(int* count) {
  *count = 1;
  return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  *device = ordinal;
  return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

EXPORT CUresult cuDeviceGetName(char* name, int size, CUdevice) {
  std::snprintf(name, size, "Simulated GPU");
  return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
  const int capability = static_cast<int>(setting("CAPABILITY", 86));
  *value = attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR   ? capability / 10
           : attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? capability % 10
                                                                       : 1;
  return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceComputeCapability(int* major, int* minor, CUdevice device) {
  cuDeviceGetAttribute(major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device);
  return cuDeviceGetAttribute(minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device);
}

EXPORT CUresult cuGetErrorName(CUresult error, const char** name) {
  static const std::map<int, const char*> names = {
      {CUDA_SUCCESS, "no error"},
      {CUDA_ERROR_INVALID_VALUE, "invalid argument"},
      {CUDA_ERROR_OUT_OF_MEMORY, "out of memory"},
      {CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"},
      {CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"},
      {CUDA_ERROR_INVALID_CONTEXT, "invalid device context"},
      {CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"},
      {CUDA_ERROR_ILLEGAL_STATE, "the operation cannot be performed in the present state"},
      {CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"},
      {CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"},
      {CUDA_ERROR_NOT_SUPPORTED, "operation not supported"},
      {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"},
      {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "operation failed due to a previous error during capture"},
      {CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "system has unsupported display driver / cuda driver combination"},
      {CUDA_ERROR_UNKNOWN, "unknown error"},
  };
  const auto found = names.find(error);
  *name = found == names.end() ? "unrecognized error code" : found->second;
  return CUDA_SUCCESS;
}

EXPORT CUresult cuGetErrorString(CUresult error, const char** text) { return cuGetErrorName(error, text); }

// ---- contexts

EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  static int primary;
  std::lock_guard<std::mutex> hold(driver().mutex);
  driver().retained++;
  *context = reinterpret_cast<CUcontext>(&primary);
  return CUDA_SUCCESS;
}

EXPORT CUresult cuDevicePrimaryCtxRelease(CUdevice) {
  std::lock_guard<std::mutex> hold(driver().mutex);
  driver().retained--;
  return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxDetach(CUcontext) {
  misuse("a primary context is detached, and not released");
  return CUDA_ERROR_INVALID_CONTEXT;
}

EXPORT CUresult cuCtxPushCurrent(CUcontext context) {
  current.push_back(context);
  return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxPopCurrent(CUcontext* context) {
  if (current.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  if (driver().context_lost) return static_cast<CUresult>(driver().lost.load());
  if (context) *context = current.back();
  current.pop_back();
  return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxGetCurrent(CUcontext* context) {
  *context = current.empty() ? nullptr : current.back();
  return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxGetDevice(CUdevice* device) {
  *device = 0;
  return check();
}

EXPORT CUresult cuCtxSynchronize() { return check(); }

// ---- memory

EXPORT CUresult cuMemAlloc(CUdeviceptr* address, size_t size) {
  NEEDS_GPU();
  NOT_CAPTURED();
  driver().made++;
  void* block = driver().device.take(size);
  *address = reinterpret_cast<CUdeviceptr>(block);
  return block ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

EXPORT CUresult cuMemFree(CUdeviceptr address) {
  NEEDS_GPU();
  NOT_CAPTURED();
  if (driver().device.give_back(reinterpret_cast<void*>(address))) return CUDA_SUCCESS;
  misuse("memory on the GPU freed twice, or never taken");
  return CUDA_ERROR_INVALID_VALUE;
}

EXPORT CUresult cuMemHostAlloc(void** address, size_t size, unsigned) {
  NEEDS_GPU();
  NOT_CAPTURED();
  driver().made++;
  *address = driver().host.take(size);
  return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

EXPORT CUresult cuMemFreeHost(void* address) {
  NEEDS_GPU();
  NOT_CAPTURED();
  if (driver().host.give_back(address)) return CUDA_SUCCESS;
  misuse("page-locked memory freed twice, or never taken");
  return CUDA_ERROR_INVALID_VALUE;
}

EXPORT CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, size_t size, CUstream stream) {
  NEEDS_GPU();
  NEEDS(streams, stream);
  auto* device = reinterpret_cast<void*>(to);
  return begin_copy(reinterpret_cast<Stream*>(stream), device, from, size, from, device);
}

EXPORT CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, size_t size, CUstream stream) {
  NEEDS_GPU();
  NEEDS(streams, stream);
  auto* device = reinterpret_cast<void*>(from);
  return begin_copy(reinterpret_cast<Stream*>(stream), to, device, size, to, device);
}

// ---- streams

EXPORT CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
  NEEDS_GPU();
  if (flags != CU_STREAM_NON_BLOCKING) misuse("a stream that the default stream holds up");
  driver().made++;
  auto* made = new Stream;
  driver().streams.insert(made);
  *stream = reinterpret_cast<CUstream>(made);
  return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamDestroy(CUstream stream) {
  NEEDS_GPU();
  NEEDS(streams, stream);
  auto* gone = reinterpret_cast<Stream*>(stream);
  if (gone->capturing) misuse("a stream freed while it is captured");
  driver().streams.erase(gone);
  gone->end();
  return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamSynchronize(CUstream stream) {
  NEEDS_GPU();
  NEEDS(streams, stream);
  auto* waited = reinterpret_cast<Stream*>(stream);
  if (waited->capturing) {
    waited->capture_broken = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  auto mark = std::make_shared<Mark>();
  waited->put([mark] { mark->set(); });
  hold.unlock();
  mark->wait();
  return check();
}

EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
  NEEDS_GPU();
  NEEDS(streams, stream);
  NEEDS(events, event);
  auto mark = reinterpret_cast<Event*>(event)->mark;  // as it stands now
  if (mark) reinterpret_cast<Stream*>(stream)->put([mark] { mark->wait(); });
  return CUDA_SUCCESS;
}

// ---- events

EXPORT CUresult cuEventCreate(CUevent* event, unsigned flags) {
  NEEDS_GPU();
  driver().made++;
  auto* made = new Event{(flags & CU_EVENT_BLOCKING_SYNC) != 0, nullptr};
  driver().events.insert(made);
  *event = reinterpret_cast<CUevent>(made);
  return CUDA_SUCCESS;
}

EXPORT CUresult cuEventDestroy(CUevent event) { return destroy(driver().events, event, __func__); }

EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) {
  NEEDS_GPU();
  NEEDS(events, event);
  NEEDS(streams, stream);
  auto mark = std::make_shared<Mark>();
  reinterpret_cast<Event*>(event)->mark = mark;
  reinterpret_cast<Stream*>(stream)->put([mark] { mark->set(); });
  return CUDA_SUCCESS;
}

EXPORT CUresult cuEventSynchronize(CUevent event) {
  NEEDS_GPU();
  NEEDS(events, event);
  auto* waited = reinterpret_cast<Event*>(event);
  (waited->blocks ? driver().sleeping_waits : driver().spinning_waits)++;
  auto mark = waited->mark;
  hold.unlock();
  if (mark) mark->wait();
  return check();
}

// ---- graphs

EXPORT CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
  NEEDS_GPU();
  NEEDS(streams, stream);
  auto* captured = reinterpret_cast<Stream*>(stream);
  if (captured->capturing || captures) {
    misuse("a capture within a capture");
    return CUDA_ERROR_ILLEGAL_STATE;
  }
  if (mode != CU_STREAM_CAPTURE_MODE_THREAD_LOCAL) misuse("a capture that other threads break");
  captured->captured.clear();
  captured->capturing = true;
  captured->capture_broken = false;
  captures = captured;
  return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph) {
  NEEDS_GPU();
  NEEDS(streams, stream);
  auto* captured = reinterpret_cast<Stream*>(stream);
  *graph = nullptr;
  if (captures != captured) {
    misuse("the end of a capture that this thread did not begin");
    return CUDA_ERROR_ILLEGAL_STATE;
  }
  captured->capturing = false;
  captures = nullptr;
  if (captured->capture_broken) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  auto* made = new Graph{std::move(captured->captured)};
  driver().graphs.insert(made);
  *graph = reinterpret_cast<CUgraph>(made);
  return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec* executable, CUgraph graph, unsigned long long) {
  NEEDS_GPU();
  NEEDS(graphs, graph);
  auto* made = new Graph(*reinterpret_cast<Graph*>(graph));
  driver().executables.insert(made);
  *executable = reinterpret_cast<CUgraphExec>(made);
  return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphDestroy(CUgraph graph) { return destroy(driver().graphs, graph, __func__); }

EXPORT CUresult cuGraphExecDestroy(CUgraphExec executable) { return destroy(driver().executables, executable, __func__); }

EXPORT CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
  NEEDS_GPU();
  NEEDS(executables, executable);
  NEEDS(streams, stream);
  driver().graph_launches++;
  const auto work = reinterpret_cast<Graph*>(executable)->work;
  reinterpret_cast<Stream*>(stream)->put([work] {
    for (const auto& part : work) part();
  });
  return CUDA_SUCCESS;
}

// ---- how cuda-bindings finds functions: by the name without its version

EXPORT CUresult cuGetProcAddress(const char* name, void** function, int, cuuint64_t,
                                 CUdriverProcAddressQueryResult* result) {
  static void* self = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
  const std::string asked = std::string(name) == "cuGraphInstantiate" ? "cuGraphInstantiateWithFlags" : name;
  *function = nullptr;
  for (const char* version : {"_v4", "_v3", "_v2", ""}) {
    if ((*function = dlsym(self, (asked + version).c_str()))) break;
  }
  if (result) *result = *function ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
