# In the other emulator on an older AMD processor, which has no next RIP and nothing else of what came later.
# timeout: 600
. "$(dirname "$0")/lib.sh"
expect "the guests that matter, and Debian" 0 "^matrix: [0-9]+ passed, 0 failed, [0-9]+ known$" tools/matrix --essential --targets bochs-phenom --jobs 1
finish
