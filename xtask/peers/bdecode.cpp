// bdecode FILE...: decodes each file with one reused node, again and again, and prints the nanoseconds of one decode (median of five samples).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <libtorrent/bdecode.hpp>
#include <vector>

int main(int argc, char** argv) {
	for (int file = 1; file < argc; ++file) {
		std::ifstream in(argv[file], std::ios::binary);
		std::vector<char> const input((std::istreambuf_iterator<char>(in)), {});
		lt::bdecode_node node;
		auto const decode = [&](long times) {
			auto const start = std::chrono::steady_clock::now();
			for (long i = 0; i < times; ++i) {
				lt::error_code error;
				lt::bdecode(input.data(), input.data() + input.size(), node, error, nullptr, 100, 100000000);
				if (error) std::abort();
			}
			return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
		};
		long times = 1;
		while (decode(times) < 1e8) times *= 2;
		std::vector<double> samples;
		for (int i = 0; i < 5; ++i) samples.push_back(decode(times) / double(times));
		std::sort(samples.begin(), samples.end());
		std::printf("%s %.1f\n", argv[file], samples[2]);
	}
}
