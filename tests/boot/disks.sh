# Disks, of memory and from an image: the guest `virtio`, and stock Debian, which reads the image and writes over it.
# timeout: 240
. "$(dirname "$0")/lib.sh"

head -c 4M /dev/urandom > "$scratch/image"
sum=$(md5sum < "$scratch/image" | cut -d' ' -f1)
machine_with() { # LINE KERNEL OPTION...: one machine, as a line of the module `vms` says
	echo "vm name=one kernel=kernel reset=end $1" > "$scratch/vms"
	$machine guest "$2" --cmdline kernel --module "$scratch/vms:vms" --module "$scratch/image:data" --hypervisor operator=no \
		--timeout 60 "${@:3}"
}

guest=build/guests/virtio.elf
expect "a disk of memory" 0 "virtio: 35 passed, 0 failed, 0 skipped" machine_with "mem=64M disk=memory:1M" $guest
expect "a disk from an image" 0 "virtio: 35 passed, 0 failed, 0 skipped" machine_with "mem=64M disk=data" $guest
expect "a disk too small for one sector" 2 "disk=memory:100" machine_with "mem=64M disk=memory:100" $guest

# Debian's own drivers. The page cache is dropped, so that what is read again has gone through the device.
root=$scratch/root
mkdir -p "$root"/{bin,dev,proc}
cp /bin/busybox "$root/bin/"
for name in sh mount insmod md5sum dd cat echo grep dmesg poweroff; do ln -s busybox "$root/bin/$name"; done
tests/guests/debian/add-modules "$root" tests/guests/debian/modules build/deps/kernel/modules
cat > "$root/init" <<'END'
#!/bin/sh
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
while read -r name; do insmod "/modules/$name.ko"; done < /modules/ORDER
echo "image $(md5sum < /dev/vda)" > /dev/hvc0
dd if=/modules/ORDER of=/dev/vda bs=512 seek=1000 count=1 conv=sync,fsync 2> /dev/null
echo 3 > /proc/sys/vm/drop_caches
echo "sector $(dd if=/dev/vda bs=512 skip=1000 count=1 2> /dev/null | md5sum)" > /dev/hvc0
echo "wanted $(dd if=/modules/ORDER bs=512 count=1 conv=sync 2> /dev/null | md5sum)" > /dev/hvc0
dmesg | grep -E "Call Trace|BUG:|WARNING:|I/O error" > /dev/hvc0 || echo "no complaints" > /dev/hvc0
poweroff -f
END
chmod +x "$root/init"
tools/mkcpio "$root" "$scratch/initrd"
debian() {
	machine_with "mem=256M vcpus=2 initrd=initrd disk=data cmdline=\"console=ttyS0 quiet\"" build/deps/kernel/vmlinuz \
		--module "$scratch/initrd:initrd" --cpus 2 --mem 256M | tr -d '\r' | tee "$scratch/said"
}
expect "Debian reads the image" 0 "^image $sum" debian
wanted=$(sed -n 's/^wanted //p' "$scratch/said")
expect "and what it wrote" 0 "^sector ${wanted:-nothing}" cat "$scratch/said"
expect "without complaints" 0 "^no complaints" cat "$scratch/said"
finish
