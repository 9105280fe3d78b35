// NVRTC in software: the C++ of a kernel becomes a shared library; its "PTX" is the path of that library.

#include "streams.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <mutex>
#include <regex>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace {

struct Program {
    std::string source, ptx, log;
};

std::string folder_of_this_library() {
    Dl_info info;
    dladdr(reinterpret_cast<void *>(&folder_of_this_library), &info);
    char real[4096];
    std::string path = realpath(info.dli_fname, real) ? real : info.dli_fname;
    return path.substr(0, path.rfind('/'));
}

std::string cache_folder() {
    const char *chosen = getenv("SOFTWARE_CUDA_CACHE");
    std::string folder = chosen && *chosen ? chosen : folder_of_this_library() + "/kernels";
    mkdir(folder.c_str(), 0777);
    return folder;
}

uint64_t hash_of(const std::string &text) {
    uint64_t hash = 1469598103934665603ull;
    for (unsigned char c : text) hash = (hash ^ c) * 1099511628211ull;
    return hash;
}

// Instructions that CubeCL writes as PTX, as calls of what device.h has for them; others do not compile.
std::string without_ptx(const std::string &source) {
    static const std::string opening = "asm volatile(\"";
    std::string result;
    size_t at = 0;
    for (;;) {
        size_t start = source.find(opening, at);
        if (start == std::string::npos) return result + source.substr(at);
        size_t text_end = source.find('"', start + opening.size()), end = text_end;
        for (int depth = 1; depth > 0; ++end) depth += source[end + 1] == '(' ? 1 : source[end + 1] == ')' ? -1 : 0;
        std::string ptx = source.substr(start + opening.size(), text_end - start - opening.size());
        std::string operands = source.substr(text_end + 1, end - text_end - 1);
        size_t first = operands.find(':'), second = operands.find(" : ", first + 1);
        std::string outputs = operands.substr(first + 1, second - first - 1), inputs = operands.substr(second + 3);
        inputs = inputs.substr(0, inputs.find(" : "));
        outputs = std::regex_replace(outputs, std::regex(R"("=\w"\()"), "&(");
        std::string bits = std::regex_replace(inputs, std::regex(R"("\w"\()"), "software_cuda::bits(");
        std::string values = std::regex_replace(inputs, std::regex(R"("\w"\()"), "(");
        std::smatch parts;
        result += source.substr(at, start - at);
        if (std::regex_search(ptx, parts, std::regex(R"(^atom\.relaxed\.add\.)")))
            result += "software_cuda::atomic_add(" + outputs + ", " + values + ")";
        else if (std::regex_search(ptx, parts, std::regex(R"(^mma\.sync\.aligned\.m16n8k(\d+)\.row\.col\.f32\.(\w+)\.\w+\.f32)")))
            result += "software_cuda::mma_sync<" + parts[1].str() + ", software_cuda::units::" + parts[2].str() + ">({" + outputs + "}, {" + bits + "})";
        else if (std::regex_search(ptx, parts, std::regex(R"(^cp\.async\.c[ag]\.shared(?:::cta)?\.global \[%0\], \[%1\], (\d+))")))
            result += "software_cuda::copy_async<" + parts[1].str() + ">(" + values + ")";
        else if (std::regex_search(ptx, parts, std::regex(R"(^cp\.async\.(?:commit_group|wait_group|wait_all))")))
            result += "((void)0)";
        else
            result += "software_cuda_has_no(\"" + ptx + "\")";
        at = end + 1;
    }
}

// Products and sums may be contracted, as they are by NVRTC.
const char *COMPILER = "g++ -std=c++17 -O1 -fPIC -march=native -ffp-contract=fast -fno-strict-aliasing -w";

// Reads device.h for all kernels at once: half of the time that each takes.
void prepare_header(const std::string &home) {
    static std::once_flag once;
    std::call_once(once, [&] {
        std::string header = home + "/device.h", ready = header + ".gch";
        std::string unique = ready + "." + std::to_string(getpid());
        if (access(ready.c_str(), R_OK) == 0) return;
        std::string command = std::string(COMPILER) + " -x c++-header " + header + " -o " + unique;
        if (system(command.c_str()) == 0) rename(unique.c_str(), ready.c_str());
    });
}

int compile(Program &program) {
    std::string source = program.source;
    source = std::regex_replace(source, std::regex(R"(extern\s+__shared__\s+__align__\((\d+)\)\s+char\s+(\w+)\[\];)"),
                                "char *const $2 = software_cuda::shared_memory();");
    // The host has these already, of another type of the same size.
    source = std::regex_replace(source, std::regex(R"(typedef (?:un)?signed long long int u?int64_t;)"), "");
    source = without_ptx(source);
    std::smatch found;
    if (!std::regex_search(source, found, std::regex(R"(__global__\s+void\s+__launch_bounds__\(\d+\)\s*(?:__cluster_dims__\([^)]*\))?\s*(\w+)\s*\()"))) {
        program.log = "no kernel found";
        return 6;
    }
    source += "\nSOFTWARE_CUDA_KERNEL(" + found[1].str() + ")\n";
    char name[64];
    snprintf(name, sizeof name, "/%016llx", (unsigned long long)hash_of(source));
    std::string base = cache_folder() + name;
    std::string library = base + ".so";
    if (access(library.c_str(), R_OK) != 0) {
        std::string unique = base + "." + std::to_string(getpid()) + "." +
                             std::to_string(hash_of(std::to_string((uintptr_t)&program)) % 1000000);
        std::ofstream(unique + ".cpp") << source;
        // As CubeCL wrote it, for with_nvrtc.py.
        std::ofstream(base + ".cu") << program.source;
        std::string home = folder_of_this_library();
        prepare_header(home);
        std::string command = std::string(COMPILER) + " -shared -include " + home + "/device.h -I" + home + "/include " +
                              unique + ".cpp -o " + unique + ".so 2> " + unique + ".log";
        int status = system(command.c_str());
        std::stringstream log;
        log << std::ifstream(unique + ".log").rdbuf();
        unlink((unique + ".log").c_str());
        rename((unique + ".cpp").c_str(), (base + ".cpp").c_str());
        if (status != 0) {
            program.log = log.str();
            if (getenv("SOFTWARE_CUDA_TRACE"))
                fprintf(stderr, "software CUDA: %s.cpp does not compile: %.600s\n", base.c_str(), program.log.c_str());
            return 6;
        }
        rename((unique + ".so").c_str(), library.c_str());
    }
    program.ptx = library;
    return 0;
}

} // namespace

EXPORT int nvrtcCreateProgram(void **program, const char *source, const char *, int, const char *const *, const char *const *) {
    auto created = new Program;
    created->source = source;
    return *program = created, 0;
}
EXPORT int nvrtcCompileProgram(void *program, int, const char *const *) { return compile(*static_cast<Program *>(program)); }
EXPORT int nvrtcGetPTXSize(void *program, size_t *size) { return *size = static_cast<Program *>(program)->ptx.size() + 1, 0; }
EXPORT int nvrtcGetPTX(void *program, char *ptx) { return strcpy(ptx, static_cast<Program *>(program)->ptx.c_str()), 0; }
EXPORT int nvrtcGetProgramLogSize(void *program, size_t *size) { return *size = static_cast<Program *>(program)->log.size() + 1, 0; }
EXPORT int nvrtcGetProgramLog(void *program, char *log) { return strcpy(log, static_cast<Program *>(program)->log.c_str()), 0; }
EXPORT int nvrtcDestroyProgram(void **program) { return delete static_cast<Program *>(*program), *program = nullptr, 0; }
EXPORT const char *nvrtcGetErrorString(int) { return "an error of the software compiler"; }
